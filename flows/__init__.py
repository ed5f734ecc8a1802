"""What runs, one flow per file.

Libraries read their environment when they are imported, so it is prepared here, before that.
"""

from perennial.libraries import prepare_environment
from perennial.local.malloc import keep_freed

prepare_environment()
keep_freed()
