"""A row becomes text by a Jinja2 template, in the sandbox and with nothing left undefined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from harness.data.tables import Row
from harness.errors import UserError, did_you_mean


class _Environment(ImmutableSandboxedEnvironment):
    def getattr(self, obj: Any, attribute: str) -> Any:
        """Let ``row.values`` be the column 'values' rather than the method of dict."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


def _environment() -> _Environment:
    environment = _Environment(undefined=StrictUndefined, autoescape=False)
    # The same row must always give the same text.
    del environment.filters["random"]
    del environment.globals["lipsum"]
    return environment


class Template:
    """The ``text`` (or another key) of a task, checked and compiled.

    Attributes:
        columns: the columns it names, without what lies inside them.
    """

    def __init__(self, source: str, task: str, key: str = "text") -> None:
        self._task, self._key = task, key
        environment = _environment()
        try:
            self.columns = frozenset(
                meta.find_undeclared_variables(environment.parse(source)) - set(environment.globals)
            )
            self._compiled = environment.from_string(source)
        except TemplateSyntaxError as error:
            raise UserError(
                f"task '{task}': line {error.lineno} of '{key}' is not a template: {error.message}"
            ) from None

    def check(self, columns: Iterable[str]) -> None:
        """Raise ``UserError`` if the template names a column that is not there."""
        there = sorted(columns)
        for name in sorted(self.columns - set(there)):
            raise UserError(
                f"task '{self._task}': '{self._key}' names the column '{name}', which the data do not have."
                f"{did_you_mean(name, there)} Columns: {', '.join(there)}."
            )

    def render(self, row: Row, name: str) -> str:
        """Return the text of a row; ``name`` names the row in errors."""
        try:
            return self._compiled.render(row)
        except TemplateError as error:
            raise UserError(
                f"task '{self._task}': row {name}: '{self._key}' cannot be filled in: {error.message}"
            ) from None
        except Exception as error:
            # Whatever an expression of the task file raises (a division by zero, …) is for its author to mend.
            kind = type(error).__name__
            raise UserError(
                f"task '{self._task}': row {name}: '{self._key}' cannot be filled in: {kind}: {error}"
            ) from None
