"""Deployments: what runs when, where and how often, as code that can be applied again and again.

Libraries read their environment when they are imported, so it is prepared here, before that.
"""

from perennial.libraries import prepare_environment

prepare_environment()
