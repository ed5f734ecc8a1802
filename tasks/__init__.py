"""The steps of the flows, as Prefect tasks; all reading and writing of a retraining is here.

Libraries read their environment when they are imported, so it is prepared here, before that.
"""

from perennial.libraries import prepare_environment
from tasks.orchestration.json_log import prepare_json_log

prepare_environment()
prepare_json_log()
