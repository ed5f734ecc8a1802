"""What runs, one flow per file.

Libraries read their environment when they are imported, so it is prepared here, before that.
"""

from memory import keep_freed
from settings import prepare_environment

prepare_environment()
keep_freed()
