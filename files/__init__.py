"""Files and folders that are on the disk whole or not at all, and the digest that tells whether they still are."""

from mer.files.atomic_write import Disk as Disk
from mer.files.atomic_write import WriteError as WriteError
from mer.files.atomic_write import append_line as append_line
from mer.files.atomic_write import check_space as check_space
from mer.files.atomic_write import sweep_temporaries as sweep_temporaries
from mer.files.atomic_write import write_atomically as write_atomically
from mer.files.atomic_write import write_file as write_file
from mer.files.digest import file_sha256 as file_sha256
from mer.files.folders import make_folder as make_folder
from mer.files.folders import remove_folder as remove_folder
from mer.files.folders import whole_folder as whole_folder
