import pytest
from llama_index.core.bridge.pydantic import BaseModel, ValidationError

from llama_index_ko_rerank.rerank.postprocessor import to_invalid_setting


class Lamp(BaseModel):
    brightness: int = 3
    colour: str = "white"


def test_a_failed_validation_is_an_error_of_one_line():
    with pytest.raises(ValidationError) as caught:
        Lamp(brightness="bright", colour=4)
    message = str(to_invalid_setting(caught.value))
    assert message.startswith("brightness='bright': ")
    assert "\n" not in message
