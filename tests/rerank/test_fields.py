import pytest
from llama_index.core.bridge.pydantic import BaseModel, ValidationError

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.rerank.fields import check_fields, invalid_field


class Lamp(BaseModel):
    brightness: int = 3
    colour: str = "white"


def test_known_settings_pass():
    check_fields(Lamp, {"brightness": 2, "colour": "red", "class_name": "Lamp"}, at_least_one=("brightness",))


def test_an_unknown_setting_is_refused_with_the_nearest_one():
    with pytest.raises(InvalidSetting, match="Lamp has no setting 'brigthness'; did you mean 'brightness'"):
        check_fields(Lamp, {"brigthness": 2})


@pytest.mark.parametrize("value", [0, -1, 1.5, "3", None])
def test_a_count_that_is_none_is_refused(value):
    with pytest.raises(InvalidSetting, match="brightness must be a whole number of 1 or more"):
        check_fields(Lamp, {"brightness": value}, at_least_one=("brightness",))


def test_a_count_that_is_not_given_keeps_its_default():
    check_fields(Lamp, {}, at_least_one=("brightness",))


def test_a_failed_validation_is_said_in_one_line():
    with pytest.raises(ValidationError) as caught:
        Lamp(brightness="bright")
    said = str(invalid_field(caught.value))
    assert said.startswith("brightness='bright': ")
    assert "\n" not in said
