import pytest
from llama_index.core.bridge.pydantic import BaseModel, ValidationError

from llama_index_ko_rerank.errors import InvalidSetting
from llama_index_ko_rerank.rerank.events import to_invalid_setting, validate_field_names


class Lamp(BaseModel):
    brightness: int = 3
    colour: str = "white"


def test_known_settings_pass():
    validate_field_names(Lamp, {"brightness": 2, "colour": "red", "class_name": "Lamp"}, at_least_one=("brightness",))


def test_an_unknown_setting_is_refused_with_the_nearest_one():
    with pytest.raises(InvalidSetting, match="Lamp has no setting 'brigthness'; did you mean 'brightness'"):
        validate_field_names(Lamp, {"brigthness": 2})


@pytest.mark.parametrize("value", [0, -1, 1.5, "3", None])
def test_a_count_that_is_none_is_refused(value):
    with pytest.raises(InvalidSetting, match="brightness must be a whole number of 1 or more"):
        validate_field_names(Lamp, {"brightness": value}, at_least_one=("brightness",))


def test_a_count_that_is_not_given_keeps_its_default():
    validate_field_names(Lamp, {}, at_least_one=("brightness",))


def test_a_failed_validation_is_said_in_one_line():
    with pytest.raises(ValidationError) as caught:
        Lamp(brightness="bright")
    said = str(to_invalid_setting(caught.value))
    assert said.startswith("brightness='bright': ")
    assert "\n" not in said
