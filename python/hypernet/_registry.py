"""Objects with names: how `get`, `serialize` and `deserialize` of every module find them, and users' own objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar

from ._names import snake_case

Named = TypeVar("Named")
_registered: dict[str, Any] = {}
_registered_names: dict[Any, str] = {}
_scopes: ContextVar[tuple[dict[str, Any], ...]] = ContextVar("scopes", default=())  # open ones, innermost last


def custom_object(name: str) -> Any:
    """The user's object of this name: of the innermost open scope, then registered; None if there is none.

    A registered object is found by its full name, "package>name", and by its short one.
    """
    for scope in reversed(_scopes.get()):
        if name in scope:
            return scope[name]
    if name in _registered:
        return _registered[name]
    return next((value for full, value in _registered.items() if full.rpartition(">")[2] == name), None)


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[Named], Named]:
    """Decorator: let loading find a class or function of your own by its name.

    Parameters
    ----------
    package, name : str
        The object is registered as "package>name"; its own name by default.

    Raises
    ------
    ValueError
        A class without `get_config`.

    Examples
    --------
    >>> import hypernet as hn
    >>> @hn.saving.register_keras_serializable(package="mine")
    ... class Half(hn.initializers.Initializer):
    ...     def __call__(self, shape, dtype=None, fan_in=None, fan_out=None):
    ...         return 0.5 * hn.ones(shape, dtype)
    >>> hn.saving.get_registered_name(Half)
    'mine>Half'
    """

    def decorator(value: Named) -> Named:
        if isinstance(value, type) and not hasattr(value, "get_config"):
            raise ValueError("Cannot register a class that does not have a get_config() method.")
        full = f"{package}>{name if name is not None else getattr(value, '__name__', str(value))}"
        _registered[full] = value
        _registered_names[value] = full
        return value

    return decorator


def get_registered_name(obj: Any) -> str:
    """The name an object is registered under, else its own.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.saving.get_registered_name(hn.losses.Huber)
    'Huber'
    """
    found = _registered_names.get(obj)
    return found if found is not None else str(obj.__name__)


def get_registered_object(
    name: str, custom_objects: Mapping[str, Any] | None = None, module_objects: Mapping[str, Any] | None = None
) -> Any:
    """The object of this name: among open scopes and registered ones, then the two mappings; None if there is none.

    Examples
    --------
    >>> import hypernet as hn
    >>> hn.saving.get_registered_object("nothing of this name") is None
    True
    """
    found = custom_object(name)
    for objects in (custom_objects, module_objects):
        if found is None and objects is not None:
            found = objects.get(name)
    return found


def get_custom_objects() -> dict[str, Any]:
    """The registered objects by their full names: a live dict.

    Examples
    --------
    >>> import hypernet as hn
    >>> isinstance(hn.saving.get_custom_objects(), dict)
    True
    """
    return _registered


class CustomObjectScope:
    """In a `with` block, let loading find these objects by these names.

    Parameters
    ----------
    custom_objects : dict
        Names and what they stand for.

    Examples
    --------
    >>> import hypernet as hn
    >>> def twice(y_true, y_pred):
    ...     return 2 * (y_pred[..., 0] - y_true[..., 0]), 0 * y_pred + 2
    >>> with hn.saving.CustomObjectScope({"twice": twice}):
    ...     hn.losses.get("twice") is twice
    True
    """

    def __init__(self, custom_objects: dict[str, Any]) -> None:
        self.custom_objects = custom_objects or {}

    def __enter__(self) -> CustomObjectScope:
        _scopes.set((*_scopes.get(), self.custom_objects))
        return self

    def __exit__(self, *exception: object) -> None:
        _scopes.set(_scopes.get()[:-1])


custom_object_scope = CustomObjectScope


class Family:
    """The objects of one module that have names.

    Parameters
    ----------
    what : str
        For messages: "Could not interpret <what> identifier".
    members : iterable
        Classes, found by their names in both spellings, and functions.
    aliases : dict
        More names.
    fold_case : bool
        Names are found whatever their capitals.
    """

    def __init__(
        self,
        what: str,
        members: Iterable[Any],
        aliases: Mapping[str, Any] | None = None,
        fold_case: bool = False,
    ) -> None:
        self._what = what
        self._fold_case = fold_case
        members = list(members)
        classes = [member for member in members if isinstance(member, type)]
        self._functions = {member.__name__: member for member in members if not isinstance(member, type)}
        self._built_in = {id(member) for member in members}
        # A name in small letters stands for the function, unless an alias says that it is the class.
        self._names: dict[str, Any] = {snake_case(cls.__name__): cls for cls in classes}
        self._names.update({cls.__name__: cls for cls in classes})
        self._names.update(self._functions)
        self._names.update(aliases or {})
        if fold_case:
            self._names.update({name.lower(): member for name, member in self._names.items()})

    def find(self, name: str) -> Any:
        """The class or function of this name, a user's own first; None if there is none."""
        found = custom_object(name)
        return self._names.get(name.lower() if self._fold_case else name) if found is None else found

    def get(self, identifier: Any, make: bool = True) -> Any:
        """What `identifier` names: None, a name, a configuration, a class (an instance of it if `make`), an object.

        Raises
        ------
        ValueError
            It names nothing.
        """
        if identifier is None:
            return None
        found = identifier
        if isinstance(identifier, str):
            found = self.find(identifier)
        elif isinstance(identifier, dict):
            found = self._from_config(identifier, None)
        if isinstance(found, type) and make:
            return found()
        if found is None or not callable(found):
            raise self.unknown(identifier)
        return found

    def unknown(self, identifier: Any) -> ValueError:
        """The error for what names nothing."""
        known = ", ".join(sorted(name for name in self._names if name == name.lower()))
        return ValueError(f"Could not interpret {self._what} identifier: {identifier}. Known names: {known}.")

    def serialize(self, value: Any) -> Any:
        """A JSON value that `deserialize` takes: a name, or {"class_name", "config", "registered_name"}."""
        if value is None or isinstance(value, str):
            return value
        if hasattr(value, "get_config") and not isinstance(value, type):
            cls = type(value)
            return {
                "module": cls.__module__,
                "class_name": cls.__name__,
                "config": value.get_config(),
                "registered_name": _registered_names.get(cls),
            }
        if id(value) in self._built_in:
            return value.__name__
        name = getattr(value, "__name__", None)
        if name is None or name == "<lambda>":
            raise ValueError(
                f"Cannot serialize {value!r} as {self._what}: it has neither `get_config` nor a name. Use a named "
                "function, or a class with `get_config`."
            )
        return {"module": "builtins", "class_name": "function", "config": name, "registered_name": "function"}

    def deserialize(self, config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
        """The object that `serialize` described."""
        if isinstance(config, str):
            config = {"class_name": "function", "config": config}
        found = self._from_config(config, custom_objects) if isinstance(config, dict) else None
        if found is None:
            raise self.unknown(config)
        return found

    def _from_config(self, config: dict[str, Any], custom_objects: Mapping[str, Any] | None) -> Any:
        name = config.get("class_name")
        names = [config.get("registered_name"), name]
        if name == "function":
            names = [config.get("config")]
        for candidate in names:
            if not isinstance(candidate, str):
                continue
            found = (custom_objects or {}).get(candidate)
            if found is None and name == "function":
                found = custom_object(candidate) or self._functions.get(candidate)
            found = self.find(candidate) if found is None else found
            if found is None:
                continue
            if name == "function" or not isinstance(found, type):
                return found
            made: Any = found
            return made.from_config(config.get("config") or {})
        return None
