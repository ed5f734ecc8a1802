"""The service: answers `POST /classify` with the model that is in Production now.

Libraries read their environment when they are imported, so it is prepared here, before that.
"""

from perennial.libraries import prepare_environment

prepare_environment()
