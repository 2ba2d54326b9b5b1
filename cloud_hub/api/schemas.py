"""What the schemas of all domains share."""

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """A body that the hub sends, read off a row."""

    model_config = ConfigDict(from_attributes=True)


class Ask(BaseModel):
    """A body that a client sends; an unknown field is refused."""

    model_config = ConfigDict(extra="forbid")
