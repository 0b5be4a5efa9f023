"""Every function of the standard library that takes a path, called on a tree.

A program for a child process: ``python -c`` this text, with the root in ``ROOT`` and
an empty folder in ``OUT``. Each call has a directory of its own in the tree, which
nobody looked at before; what it gives is printed, as JSON. `files` says what lies in
such a directory.
"""

from __future__ import annotations

import io
import zipfile

#: name -> expression; P is the directory of its own, OUT a folder to write to
CALLS = {
    "os.access": "os.access(P + '/a.txt', os.R_OK)",
    "os.chdir": "(os.chdir(P + '/d'), sorted(os.listdir()), open('../a.txt').read(), os.chdir(OUT))[1:3]",
    "os.chmod": "os.chmod(P + '/a.txt', 0o444)",
    "os.chown": "os.chown(P + '/a.txt', -1, -1)",
    "os.execl": "child(lambda: os.execl('/bin/cat', 'cat', P + '/a.txt'))",
    "os.execle": "child(lambda: os.execle('/bin/cat', 'cat', P + '/a.txt', {}))",
    "os.execlp": "child(lambda: os.execlp('cat', 'cat', P + '/a.txt'))",
    "os.execlpe": "child(lambda: os.execlpe('cat', 'cat', P + '/a.txt', dict(os.environ)))",
    "os.execv": "child(lambda: os.execv('/bin/cat', ['cat', P + '/a.txt']))",
    "os.execve": "child(lambda: os.execve('/bin/sh', ['sh', '-c', 'cat $FILE'], {'FILE': P + '/a.txt'}))",
    "os.execvp": "child(lambda: os.execvp('cat', ['cat', P + '/a.txt']))",
    "os.execvpe": "child(lambda: os.execvpe('cat', ['cat', P + '/a.txt'], dict(os.environ)))",
    "os.fwalk": "[(sorted(d), sorted(f)) for _, d, f, _ in os.fwalk(P)]",
    "os.getxattr": "caught(lambda: os.getxattr(P + '/a.txt', 'user.none'))",
    "os.lchown": "os.lchown(P + '/a.txt', -1, -1)",
    "os.link": "os.link(P + '/a.txt', OUT + '/linked')",
    "os.listdir": "sorted(os.listdir(P))",
    "os.listdir bytes": "sorted(os.listdir(os.fsencode(P)))",
    "os.listxattr": "os.listxattr(P + '/a.txt')",
    "os.lstat": "size(os.lstat(P + '/a.txt'))",
    "os.makedirs": "os.makedirs(P + '/d/new/er')",
    "os.mkdir": "os.mkdir(P + '/d/new')",
    "os.mkfifo": "os.mkfifo(P + '/d/fifo')",
    "os.mknod": "os.mknod(P + '/d/node')",
    "os.open": "os.read(os.open(P + '/a.txt', os.O_RDONLY), 9)",
    "os.open directory": "sorted(os.listdir(os.open(P, os.O_RDONLY)))",
    "os.open at a directory": "os.read(os.open('a.txt', os.O_RDONLY, dir_fd=os.open(P, os.O_RDONLY)), 9)",
    "os.open to write": "os.close(os.open(P + '/d/new', os.O_CREAT | os.O_WRONLY))",
    "os.pathconf": "os.pathconf(P + '/a.txt', 'PC_NAME_MAX')",
    "os.popen": "os.popen('cat ' + P + '/a.txt').read()",
    "os.posix_spawn": "os.waitpid(os.posix_spawn('/bin/cat', ['cat', P + '/a.txt'], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 1, OUT + '/spawned', os.O_CREAT | os.O_WRONLY, 0o600)]), 0)[1]",
    "os.posix_spawnp": "os.waitpid(os.posix_spawnp('test', ['test', '-f', P + '/a.txt'], os.environ), 0)[1]",
    "os.readlink": "caught(lambda: os.readlink(P + '/a.txt'))",
    "os.remove": "(os.remove(P + '/a.txt'), os.path.exists(P + '/a.txt'))",
    "os.removedirs": "caught(lambda: os.removedirs(P + '/d'))",
    "os.removexattr": "caught(lambda: os.removexattr(P + '/a.txt', 'user.none'))",
    "os.rename": "(os.rename(P + '/a.txt', P + '/d/moved.txt'), os.path.exists(P + '/a.txt'), open(P + '/d/moved.txt').read())",
    "os.replace": "(os.replace(P + '/a.txt', P + '/d/c.txt'), open(P + '/d/c.txt').read())",
    "os.rmdir": "caught(lambda: os.rmdir(P + '/d'))",
    "os.scandir": "sorted((e.name, e.is_dir()) for e in os.scandir(P))",
    "os.setxattr": "caught(lambda: os.setxattr(P + '/none', 'user.none', b''))",
    "os.spawnl": "os.spawnl(os.P_WAIT, '/bin/test', 'test', '-f', P + '/a.txt')",
    "os.spawnle": "os.spawnle(os.P_WAIT, '/bin/sh', 'sh', '-c', 'test -f $FILE', {'FILE': P + '/a.txt'})",
    "os.spawnlp": "os.spawnlp(os.P_WAIT, 'test', 'test', '-f', P + '/a.txt')",
    "os.spawnlpe": "os.spawnlpe(os.P_WAIT, 'test', 'test', '-f', P + '/a.txt', dict(os.environ))",
    "os.spawnv": "os.spawnv(os.P_WAIT, '/bin/test', ['test', '-f', P + '/a.txt'])",
    "os.spawnve": "os.spawnve(os.P_WAIT, '/bin/test', ['test', '-f', P + '/a.txt'], {})",
    "os.spawnvp": "os.spawnvp(os.P_WAIT, 'test', ['test', '-f', P + '/a.txt'])",
    "os.spawnvpe": "os.spawnvpe(os.P_WAIT, 'test', ['test', '-f', P + '/a.txt'], dict(os.environ))",
    "os.stat": "size(os.stat(P + '/a.txt'))",
    "os.stat below a file": "caught(lambda: os.stat(P + '/a.txt/none'))",
    "os.stat by keyword": "size(os.stat(path=P + '/a.txt'))",
    "os.stat bytes": "size(os.stat(os.fsencode(P + '/a.txt')))",
    "os.stat through ..": "size(os.stat(P + '/d/../a.txt'))",
    "os.statx": "os.statx(P + '/a.txt', os.STATX_SIZE).stx_size",
    "os.statvfs": "os.statvfs(P + '/a.txt').f_namemax",
    "os.symlink": "(os.symlink(P + '/a.txt', OUT + '/symlink'), open(OUT + '/symlink').read())",
    "os.symlink into": "os.symlink('/none', P + '/d/symlink')",
    "os.system": "os.system('test -f ' + P + '/a.txt')",
    "os.truncate": "os.truncate(P + '/a.txt', 2)",
    "os.unlink": "(os.unlink(P + '/a.txt'), os.path.exists(P + '/a.txt'))",
    "os.utime": "os.utime(P + '/a.txt', (5, 5))",
    "os.walk": "[(sorted(d), sorted(f)) for _, d, f in os.walk(P)]",
    "os.path.exists": "(os.path.exists(P), os.path.exists(P + '/a.txt'), os.path.exists(P + '/none'))",
    "os.path.getatime": "os.path.getatime(P + '/a.txt') > 0",
    "os.path.getctime": "os.path.getctime(P + '/a.txt') > 0",
    "os.path.getmtime": "os.path.getmtime(P + '/a.txt') > 0",
    "os.path.getsize": "os.path.getsize(P + '/a.txt')",
    "os.path.isdevdrive": "os.path.isdevdrive(P)",
    "os.path.isdir": "(os.path.isdir(P), os.path.isdir(P + '/d'), os.path.isdir(P + '/a.txt'))",
    "os.path.isfile": "os.path.isfile(P + '/a.txt')",
    "os.path.isjunction": "os.path.isjunction(P)",
    "os.path.islink": "os.path.islink(P + '/a.txt')",
    "os.path.ismount": "os.path.ismount(P)",
    "os.path.lexists": "os.path.lexists(P + '/a.txt')",
    "os.path.realpath": "os.path.realpath(P + '/d/../a.txt', **STRICT)",
    "os.path.samefile": "os.path.samefile(P + '/a.txt', P + '/d/../a.txt')",
    "io.open": "io.open(P + '/a.txt').read()",
    "io.open by keyword": "io.open(file=P + '/a.txt').read()",
    "io.open a PathLike": "open(pathlib.PurePath(P, 'a.txt')).read()",
    "io.open to append": "(open(P + '/a.txt', 'a').close(), open(P + '/a.txt').read())",
    "io.open to write": "open(P + '/d/new', 'w').close()",
    "io.open what is there": "caught(lambda: open(P + '/a.txt', 'x'))",
    "io.open_code": "io.open_code(P + '/b.py').read()",
    "shutil.chown": "shutil.chown(P + '/a.txt', os.getuid())",
    "shutil.copy": "open(shutil.copy(P + '/a.txt', OUT + '/copy')).read()",
    "shutil.copy2": "open(shutil.copy2(P + '/a.txt', OUT + '/copy2')).read()",
    "shutil.copyfile": "open(shutil.copyfile(P + '/a.txt', OUT + '/copyfile')).read()",
    "shutil.copymode": "shutil.copymode(P + '/a.txt', OUT)",
    "shutil.copystat": "shutil.copystat(P + '/a.txt', OUT)",
    "shutil.copytree": "sorted(os.listdir(shutil.copytree(P, OUT + '/copytree')))",
    "shutil.disk_usage": "shutil.disk_usage(P + '/a.txt').total > 0",
    "shutil.make_archive": "sorted(zipfile.ZipFile(shutil.make_archive(OUT + '/made', 'zip', P)).namelist())",
    "shutil.move": "open(shutil.move(P + '/a.txt', OUT + '/moved')).read()",
    "shutil.rmtree": "(shutil.rmtree(P), os.path.exists(P), os.path.exists(P + '/a.txt'))",
    "shutil.unpack_archive": "shutil.unpack_archive(P + '/z.zip', OUT + '/unpacked')",
    "shutil.which": "shutil.which('tool', path=P + '/bin')",
    "glob.glob": "sorted(glob.glob(P + '/*.txt'))",
    "glob.glob recursive": "sorted(glob.glob('**/*.txt', root_dir=P, recursive=True))",
    "glob.glob0": "caught(lambda: glob.glob0(P, 'a.txt'))",
    "glob.glob1": "caught(lambda: glob.glob1(P, '*.txt'))",
    "glob.iglob": "sorted(glob.iglob(P + '/*.txt'))",
    "ctypes.CDLL": "library(ctypes.CDLL)",
    "ctypes.PyDLL": "library(ctypes.PyDLL)",
    "subprocess.Popen": "subprocess.Popen(['cat', P + '/a.txt'], stdout=-1).communicate()[0]",
    "subprocess.Popen in a directory": "sorted(subprocess.Popen('ls', cwd=P, stdout=-1).communicate()[0].split())",
    "subprocess.call": "subprocess.call(['test', '-f', P + '/a.txt'])",
    "subprocess.check_call": "subprocess.check_call(['test', '-f', P + '/a.txt'])",
    "subprocess.check_output": "subprocess.check_output(['cat', P + '/a.txt'])",
    "subprocess.check_output of an option": "subprocess.check_output(['sh', '-c', 'cat ${0#--file=}', '--file=' + P + '/a.txt'])",
    "subprocess.getoutput": "subprocess.getoutput('cat ' + P + '/a.txt')",
    "subprocess.getstatusoutput": "subprocess.getstatusoutput('ls ' + P + '/d')",
    "subprocess.run": "subprocess.run(['cat'], stdin=open(P + '/a.txt'), capture_output=True).stdout",
    "subprocess.run with close_fds": "subprocess.run(['/bin/cat', P + '/a.txt'], close_fds=False, stdout=-1).stdout",
    "subprocess.run by environment": "subprocess.run('cat $FILE', shell=True, env={'FILE': P + '/a.txt'}, stdout=-1).stdout",
    "sqlite3.connect": "sqlite3.connect(P + '/x.sqlite').execute('select 1').fetchall()",
    "sqlite3.connect by URI": "sqlite3.connect('file:' + P + '/x.sqlite?mode=ro', uri=True).execute('select 1').fetchall()",
    "importlib FileFinder": "machinery.FileFinder(P, (machinery.SourceFileLoader, ['.py'])).find_spec('b').name",
    "importlib SourcelessFileLoader": "machinery.SourcelessFileLoader('b', P + '/a.txt').get_data(P + '/a.txt')",
    "importlib PathFinder": "machinery.PathFinder.find_spec('zipped', [P + '/z.zip']).origin",
    "zipimport.zipimporter": "zipimport.zipimporter(P + '/z.zip/inside').get_data('inner.txt')",
    "mmap.mmap": "bytes(mmap.mmap(os.open(P + '/a.txt', os.O_RDONLY), 0, prot=mmap.PROT_READ))",
    "tokenize.open": "tokenize.open(P + '/b.py').read()",
    "linecache.checkcache": "(linecache.getline(P + '/b.py', 1), linecache.checkcache(P + '/b.py'), len(linecache.cache[P + '/b.py'][2]))",
    "linecache.getline": "linecache.getline(P + '/b.py', 1)",
    "linecache.getlines": "linecache.getlines(P + '/b.py')",
    "linecache.updatecache": "linecache.updatecache(P + '/b.py')",
    "zipfile.Path": "[p.name for p in zipfile.Path(P + '/z.zip').iterdir()]",
    "zipfile.PyZipFile": "zipfile.PyZipFile(OUT + '/py.zip', 'w').writepy(P + '/b.py')",
    "zipfile.ZipFile": "zipfile.ZipFile(P + '/z.zip').namelist()",
    "zipfile.ZipFile.write": "(lambda z: (z.write(P + '/a.txt', 'a'), z.namelist()))(zipfile.ZipFile(OUT + '/w.zip', 'w'))[1]",
    "zipfile.ZipInfo": "zipfile.ZipInfo.from_file(P + '/a.txt', 'a').file_size",
    "zipfile.is_zipfile": "zipfile.is_zipfile(P + '/z.zip')",
    "Path.chmod": "pathlib.Path(P, 'a.txt').chmod(0o444)",
    "Path.copy": "pathlib.Path(P, 'a.txt').copy(pathlib.Path(OUT, 'path_copy')).read_text()",
    "Path.copy_into": "pathlib.Path(P, 'a.txt').copy_into(pathlib.Path(OUT)).read_text()",
    "Path.exists": "(pathlib.Path(P).exists(), pathlib.Path(P, 'a.txt').exists(), pathlib.Path(P, 'none').exists())",
    "Path.glob": "sorted(p.name for p in pathlib.Path(P).glob('*'))",
    "Path.group": "isinstance(pathlib.Path(P, 'a.txt').group(), str)",
    "Path.hardlink_to": "pathlib.Path(OUT, 'hardlink').hardlink_to(P + '/a.txt')",
    "Path.info": "(lambda p: (p.info.exists(), p.info.is_file()))(pathlib.Path(P, 'a.txt'))",
    "Path.is_block_device": "pathlib.Path(P, 'a.txt').is_block_device()",
    "Path.is_char_device": "pathlib.Path(P, 'a.txt').is_char_device()",
    "Path.is_dir": "(pathlib.Path(P).is_dir(), pathlib.Path(P, 'a.txt').is_dir())",
    "Path.is_fifo": "pathlib.Path(P, 'a.txt').is_fifo()",
    "Path.is_file": "pathlib.Path(P, 'a.txt').is_file()",
    "Path.is_junction": "pathlib.Path(P).is_junction()",
    "Path.is_mount": "pathlib.Path(P).is_mount()",
    "Path.is_socket": "pathlib.Path(P, 'a.txt').is_socket()",
    "Path.is_symlink": "pathlib.Path(P, 'a.txt').is_symlink()",
    "Path.iterdir": "sorted(p.name for p in pathlib.Path(P).iterdir())",
    "Path.lchmod": "caught(lambda: pathlib.Path(P, 'none').lchmod(0o444))",
    "Path.link_to": "pathlib.Path(P, 'a.txt').link_to(OUT + '/link_to')",
    "Path.lstat": "size(pathlib.Path(P, 'a.txt').lstat())",
    "Path.mkdir": "pathlib.Path(P, 'd/new').mkdir()",
    "Path.move": "pathlib.Path(P, 'a.txt').move(pathlib.Path(OUT, 'path_moved')).read_text()",
    "Path.move_into": "pathlib.Path(P, 'b.py').move_into(pathlib.Path(OUT)).name",
    "Path.open": "pathlib.Path(P, 'a.txt').open().read()",
    "Path.owner": "isinstance(pathlib.Path(P, 'a.txt').owner(), str)",
    "Path.read_bytes": "pathlib.Path(P, 'a.txt').read_bytes()",
    "Path.read_text": "pathlib.Path(P, 'a.txt').read_text()",
    "Path.readlink": "caught(lambda: pathlib.Path(P, 'a.txt').readlink())",
    "Path.rename": "pathlib.Path(P, 'a.txt').rename(P + '/d/renamed').read_text()",
    "Path.replace": "pathlib.Path(P, 'a.txt').replace(P + '/d/c.txt').read_text()",
    "Path.resolve": "str(pathlib.Path(P, 'd/../a.txt').resolve(strict=True))",
    "Path.rglob": "sorted(p.name for p in pathlib.Path(P).rglob('*'))",
    "Path.rmdir": "caught(lambda: pathlib.Path(P, 'd').rmdir())",
    "Path.samefile": "pathlib.Path(P, 'a.txt').samefile(P + '/a.txt')",
    "Path.scandir": "sorted(e.name for e in pathlib.Path(P).scandir())",
    "Path.stat": "size(pathlib.Path(P, 'a.txt').stat())",
    "Path.symlink_to": "pathlib.Path(P, 'd/symlink').symlink_to('/none')",
    "Path.touch": "pathlib.Path(P, 'd/new').touch()",
    "Path.unlink": "(pathlib.Path(P, 'a.txt').unlink(), pathlib.Path(P, 'a.txt').exists())",
    "Path.walk": "[(sorted(d), sorted(f)) for _, d, f in pathlib.Path(P).walk()]",
    "Path.write_bytes": "pathlib.Path(P, 'd/new').write_bytes(b'new')",
    "Path.write_text": "pathlib.Path(P, 'd/new').write_text('new')",
}

#: What a parameter's name suggests, and is no path of a file.
NOT_PATHS = frozenset(
    [
        "os.confstr",
        "os.copy_file_range",
        "os.fdopen",
        "os.fpathconf",
        "os.fsdecode",
        "os.fsencode",
        "os.fspath",
        "os.memfd_create",
        "os.putenv",
        "os.splice",
        "os.sysconf",
        "os.unsetenv",
        "os.path.abspath",
        "os.path.basename",
        "os.path.commonpath",
        "os.path.dirname",
        "os.path.expanduser",
        "os.path.expandvars",
        "os.path.isabs",
        "os.path.isreserved",
        "os.path.join",
        "os.path.normcase",
        "os.path.normpath",
        "os.path.relpath",
        "os.path.split",
        "os.path.splitdrive",
        "os.path.splitext",
        "os.path.splitroot",
        "glob.escape",
        "glob.has_magic",
        "glob.translate",
        "Path.absolute",
        "Path.anchor",
        "Path.as_posix",
        "Path.as_uri",
        "Path.cwd",
        "Path.drive",
        "Path.expanduser",
        "Path.from_uri",
        "Path.full_match",
        "Path.home",
        "Path.is_absolute",
        "Path.is_relative_to",
        "Path.is_reserved",
        "Path.joinpath",
        "Path.match",
        "Path.name",
        "Path.parent",
        "Path.parents",
        "Path.parser",
        "Path.parts",
        "Path.relative_to",
        "Path.root",
        "Path.stem",
        "Path.suffix",
        "Path.suffixes",
        "Path.with_name",
        "Path.with_segments",
        "Path.with_stem",
        "Path.with_suffix",
        "shutil.register_archive_format",
        "shutil.register_unpack_format",
        "shutil.unregister_archive_format",
        "shutil.unregister_unpack_format",
        "ctypes.memmove",
        "ctypes.memset",
        "subprocess.CalledProcessError",
        "subprocess.CompletedProcess",
        "subprocess.TimeoutExpired",
        "tokenize.TokenInfo",
        "linecache.lazycache",
        "zipfile.CompleteDirs",
        "zipfile.FastLookup",
        "zipfile.main",
    ]
)
#: What takes a path and is not noticed: docs/deviations.md.
NOT_NOTICED = frozenset({"io.FileIO", "os.chroot"})


def files(place: int) -> dict[str, str | bytes]:
    """Return what lies in the directory of one call: path -> content.

    Each differs from all others, because equal files of a tree may be one.
    """
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("inner.txt", "inner")
        archive.writestr("zipped.py", "")
    return {
        "a.txt": f"text of {place:03}",
        "b.py": "b = 1\n",
        "bin/tool": "#!/bin/sh\n",
        "d/c.txt": f"more of {place:03}",
        "x.sqlite": b"",  # an empty database
        "z.zip": zipped.getvalue(),
    }


def folder(place: int) -> str:
    """Return the name of the directory of one call."""
    return f"look{place:03}"


PROGRAM = """
import ctypes, glob, io, json, linecache, mmap, os, pathlib, shutil, sqlite3
import subprocess, sys, tokenize, zipfile, zipimport
from importlib import machinery

STRICT = {"strict": True}

def caught(call):
    try:
        return call()
    except (OSError, AttributeError, NotImplementedError) as error:
        return type(error).__name__, getattr(error, "strerror", "")

def size(status):
    return status.st_size, status.st_mode & 0o170000

def child(call):
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.dup2(writer, 1)
        call()
        os._exit(9)
    os.close(writer)
    said = os.read(reader, 99)
    return said, os.waitpid(pid, 0)[1]

def library(kind):
    try:
        kind(P + "/a.txt")
    except OSError as error:
        return "invalid ELF header" in str(error) or str(error)

for place, (name, expression) in enumerate(CALLS):
    P = f"{ROOT}/look{place:03}"
    before = set(os.listdir(OUT))
    try:
        given = eval(expression)
    except Exception as error:
        given = f"{type(error).__name__}: {error}"
    print(json.dumps([name, repr(given).replace(ROOT, "ROOT").replace(OUT, "OUT")]))
"""
