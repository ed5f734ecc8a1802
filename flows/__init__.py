"""What runs, one flow per file.

Libraries read their environment when they are imported, so it is prepared here, before that.
"""

from perennial.local.malloc import keep_freed
from perennial.settings import prepare_environment

prepare_environment()
keep_freed()
