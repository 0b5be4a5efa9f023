"""What Serve says of a failure, in the lines that a person needs."""

from __future__ import annotations

import pytest

from lazyimport.deploy.failure import details, headline

HASH = "a1" * 32
CACHE = f"/cache/trees/{HASH}"

#: a constructor, as Serve passes on what Ray says of it
CONSTRUCTOR = f"""\
The deployment failed to start 3 times in a row. This may be due to a problem with its \
constructor or initial health check failing. See controller logs for details. Error:
\x1b[36mray::ServeReplica:shop:Shop.initialize_and_get_metadata()\x1b[39m (pid=47, \
ip=10.0.0.3, actor_id=5f0c, repr=<ray.serve._private.replica.Shop object at 0x7f>)
  File "/usr/lib/python3.11/concurrent/futures/_base.py", line 449, in result
    return self.__get_result()
  File "/opt/site-packages/ray/serve/_private/replica.py", line 3540, in initialize
    raise RuntimeError(traceback.format_exc()) from None
RuntimeError: Traceback (most recent call last):
  File "/opt/site-packages/ray/serve/_private/replica.py", line 3520, in initialize
    await self._user_callable_wrapper.initialize_callable()
  File "{CACHE}/shop/serve.py", line 12, in __init__
    import xgboost
ModuleNotFoundError: No module named 'xgboost'
  lazyimport: archive {HASH} has no module 'xgboost'
  lazyimport: nor is it installed in this environment: add it to the image
"""
#: an application that cannot be built, after another error
BUILD = f"""\
Deploying app 'shop' failed with exception:
Traceback (most recent call last):
  File "/opt/site-packages/ray/serve/_private/application_state.py", line 9, in f
    args, err = ray.get(self._ref)
ray.exceptions.RayTaskError(RuntimeError): \x1b[36mray::build_serve_application()\x1b[39m
  File "{CACHE}/shop/part7.py", line 3, in <module>
    import gone
lazyimport.errors.ArchiveModuleMissing: No module named 'gone'
  lazyimport: add it to the image

The above exception was the direct cause of the following exception:

\x1b[36mray::build_serve_application()\x1b[39m (pid=4, ip=10.0.0.3)
  File "{CACHE}/shop/part7.py", line 5, in <module>
    raise RuntimeError('on purpose') from error
RuntimeError: on purpose
Suggestion: look at it
"""


def test_of_a_constructor() -> None:
    error = "ModuleNotFoundError: No module named 'xgboost', shop/serve.py:12"

    assert headline(CONSTRUCTOR) == f"{error}, in a replica of Shop"
    assert details(CONSTRUCTOR) == CONSTRUCTOR.splitlines()[-2:]
    assert len(details(CONSTRUCTOR + CONSTRUCTOR)) == 2


def test_of_an_application_with_a_cause() -> None:
    assert headline(BUILD) == "RuntimeError: on purpose, shop/part7.py:5"
    assert details(BUILD) == [
        "Suggestion: look at it",
        "after ModuleNotFoundError: No module named 'gone', shop/part7.py:3",
        "  lazyimport: add it to the image",
    ]


def test_of_what_ray_could_not_import() -> None:
    """Ray's own text only introduces it, and says whose text it is."""
    ours = f"archive {HASH} is not in the node cache /cache, and no store is named"
    header = "\x1b[36mray::build_serve_application()\x1b[39m (pid=4, ip=10.0.0.3)"
    message = f"""\
Deploying app 'shop' failed with exception:
Traceback (most recent call last):
  File "/opt/site-packages/ray/_private/worker.py", line 1053, in get_objects
    raise value.as_instanceof_cause()
ray.exceptions.RayTaskError(RuntimeError): {header}
RuntimeError: The remote function failed to import on the worker. This may be because \
needed library dependencies cannot be found from sys.path ['/opt/python3.11']:

{header}
               ^^^^^^^^~~~~
lazyimport.errors.InstallError: 'build_serve_application' is not run: {ours}
"""

    assert headline(message) == (
        f"InstallError: 'build_serve_application' is not run: {ours}"
    )
    assert not details(message)


def test_the_replica_that_it_names() -> None:
    message = (
        "Exception when allocating Replica(id='x02kq8rb', deployment='Shop', "
        "app='shop'):\nTraceback (most recent call last):\n"
        '  File "/home/ray/app/main.py", line 7, in f\n'
        '  File "<frozen runpy>", line 1, in g\n'
        '  File "python/ray/_raylet.pyx", line 9, in h\n'
        "KeyError: 'a'\n"
    )

    where = "/home/ray/app/main.py:7, in replica Shop#x02kq8rb"
    assert headline(message) == f"KeyError: 'a', {where}"


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("", ""),
        ("Deploying app 'shop'.\n", "Deploying app 'shop'."),
        (
            "Failed to start 3 times. Error:\n\x1b[36mray::X\x1b[39m\nTraceback:\n  "
            + "raise\nKeyError: 'a'\n\nDuring handling ...\n"
            + "shop.errors.NotReady: the model\n  is not there\n",
            "shop.errors.NotReady: the model",
        ),
        ("Traceback:\n  x\nAssertionError\n", "AssertionError"),
    ],
)
def test_the_line_of_a_message_that_says_what_went_wrong(
    message: str, line: str
) -> None:
    assert line == headline(message)


@pytest.mark.parametrize("text", ["{}", "Traceback:\n  x\nKeyError: {}\n"])
def test_a_line_without_end_is_cut(text: str) -> None:
    """So that the record of the deployment can be read again."""
    assert 1000 < len(headline(text.format("x" * 100_000))) < 3000
