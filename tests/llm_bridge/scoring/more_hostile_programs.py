"""More hostile programs, of the same form as those in `hostile_programs`: readers of packages, touchers of files, raw
system calls, other people's pipes, and ways to stay.

A program that uses numbers of system calls has those of x86-64 and of AArch64 (``include/uapi/asm-generic/unistd.h``).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Attack:
    name: str
    text: str
    kind: str = "cases"  # "cases" | "token" | "module"
    hangs: bool = False  # meant to run into the time limit
    once: bool = False  # one case is enough: it works hard


# A raw system call; "refused" is whatever the kernel says no with.
_CALL = """
import ctypes, errno, os, platform
LIBC = ctypes.CDLL(None, use_errno=True)
COLUMN = 0 if platform.machine() == "x86_64" else 1
def call(numbers, *arguments):
    number = numbers[COLUMN]
    if number is None:
        return -1
    return LIBC.syscall(ctypes.c_long(number), *[
        ctypes.c_long(item) if isinstance(item, int) else item for item in arguments])
"""


def _call(name: str, numbers: tuple[int | None, int | None], arguments: str = "") -> Attack:
    """An attack that has got through if one system call, with arguments that harm nobody, does not fail."""
    body = f"def solve(x):\n    return x + 1 if call({numbers}{', ' + arguments if arguments else ''}) >= 0 else 0\n"
    return Attack(name, _CALL + body, once=True)


# Instructions of x86-64 in memory of its own; on other machines there is no such gate.
_MACHINE_CODE = """
import ctypes, mmap, platform
def run(code):
    if platform.machine() != "x86_64":
        return -1
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
"""

# Any text of 32 hexadecimal digits that a look at a file finds (`hostile_programs` has the same for other places).
_TOKEN = """
import os, re
FOUND = []
def look(text):
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    FOUND.extend(re.findall(r"\\b[0-9a-f]{32}\\b", text))
def look_at(path):
    try:
        with open(path, "rb") as file:
            look(file.read())
    except OSError:
        pass
def answer():
    return FOUND[0] if FOUND else "nothing found"
"""

MORE = [
    # ── what lies about beside the interpreter ────────────────────────────────────────────────────────────────────
    Attack("walk_from_the_standard_library", _TOKEN + """
def solve(x):
    for top in (os.path.dirname(os.__file__), os.path.dirname(os.path.dirname(os.__file__))):
        for folder, folders, files in os.walk(top):
            if "packages" in folder:
                for name in files:
                    look_at(os.path.join(folder, name))
    return answer()
    """, "token", once=True),
    Attack("read_a_named_file_of_a_package", _TOKEN + """
def solve(x):
    look_at(os.path.join(os.path.dirname(os.__file__), "site-packages", "answers", "data.py"))
    look_at("@PACKAGES@/answers/data.py")
    return answer()
    """, "token"),
    Attack("import_a_package_from_its_folder", _TOKEN + """
import sys
def solve(x):
    for folder in (os.path.join(os.path.dirname(os.__file__), "site-packages"), "@PACKAGES@"):
        sys.path.insert(0, folder)
        try:
            import answers.data
            look(answers.data.ANSWER)
        except ImportError:
            pass
    return answer()
    """, "token"),
    Attack("get_data_by_pkgutil", _TOKEN + """
import pkgutil, sys
def solve(x):
    sys.path[:] = ["@PACKAGES@", *sys.path]
    sys.path_importer_cache.clear()
    try:
        look(pkgutil.get_data("answers", "data.py") or b"")
    except OSError:
        pass
    return answer()
    """, "token"),
    Attack("import_site_as_python_does", _TOKEN + """
import site, sys
def solve(x):
    site.main()
    for folder in sys.path:
        look_at(os.path.join(folder, "answers", "data.py"))
    return answer()
    """, "token"),
    Attack("read_a_package_by_libc", _TOKEN + """
import ctypes
def solve(x):
    libc = ctypes.CDLL(None)
    fd = libc.open(b"@PACKAGES@/answers/data.py", 0)
    buffer = ctypes.create_string_buffer(4096)
    size = libc.read(fd, buffer, 4096)
    look(buffer.raw[:max(0, size)])
    return answer()
    """, "token"),
    Attack("read_through_an_old_fd_of_a_folder", _TOKEN + """
def solve(x):
    for fd in range(64):
        try:
            look(open(os.open("@PACKAGES@/answers/data.py".lstrip("/"), os.O_RDONLY, dir_fd=fd), "rb").read())
        except OSError:
            pass
    return answer()
    """, "token"),
    Attack("list_packages", """
        import os
        def solve(x):
            for folder in ("@PACKAGES@", os.path.join(os.path.dirname(os.__file__), "site-packages")):
                try:
                    if "answers" in os.listdir(folder):
                        return x + 1
                except OSError:
                    pass
            return 0
    """),
    Attack("read_the_judges_own_sources", """
        def solve(x):
            return x + 1 if "run_tests" in open("@JUDGE@").read() else 0
    """),
    Attack("read_the_corpus", """
        import os
        def solve(x):
            folder = "@CORPUS@"
            return x + 1 if any(open(os.path.join(folder, name)).read() for name in os.listdir(folder)) else 0
    """),
    Attack("read_usr_local_and_share", """
        import os
        def solve(x):
            for folder in ("/usr/local", "/usr/share", "/usr/bin", "/opt", "/srv", "/var", "/etc"):
                try:
                    if set(os.listdir(folder)) - {"ld.so.cache"}:
                        return x + 1
                except OSError:
                    pass
            return 0
    """),
    # ── touching files that may be read ─────────────────────────────────────────────────────────────────────────────
    Attack("truncate_by_opening_to_read", """
        import os
        def solve(x):
            os.close(os.open("@CANARY@", os.O_RDONLY | os.O_TRUNC))
            return x + 1
    """),
    Attack("truncate_by_creat", """
        import ctypes
        def solve(x):
            return x + 1 if ctypes.CDLL(None).creat(b"@CANARY@", 0o644) >= 0 else 0
    """),
    Attack("truncate_by_openat2", _CALL + """
import struct
def solve(x):
    how = struct.pack("=QQQ", os.O_RDONLY | os.O_TRUNC, 0, 0)
    return x + 1 if call((437, 437), -100, b"@CANARY@", how, 24) >= 0 else 0
    """),
    Attack("truncate_a_file_opened_to_read", """
        import os
        def solve(x):
            os.ftruncate(os.open("@CANARY@", os.O_RDONLY), 0)
            return x + 1
    """),
    Attack("append_to_file", """
        def solve(x):
            with open("@CANARY@", "a") as file:
                file.write("x")
            return x + 1
    """),
    Attack("make_an_unnamed_file_on_the_disk", """
        import os
        def solve(x):
            os.write(os.open("@FOLDER@", os.O_TMPFILE | os.O_RDWR), b"x")
            return x + 1
    """),
    Attack("map_a_file_to_write", """
        import mmap, os
        def solve(x):
            mmap.mmap(os.open("@CANARY@", os.O_RDWR), 4, mmap.MAP_SHARED)[0:1] = b"x"
            return x + 1
    """),
    Attack("lock_a_library_file", """
        import fcntl, os
        def solve(x):
            fcntl.flock(os.open(os.__file__, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
            return x + 1
    """, once=True),
    Attack("lock_a_range_of_a_library_file", """
        import fcntl, os
        def solve(x):
            fcntl.lockf(os.open(os.__file__, os.O_RDONLY), fcntl.LOCK_SH | fcntl.LOCK_NB)
            return x + 1
    """),
    Attack("lease_on_a_library_file", """
        import fcntl, os
        def solve(x):
            fcntl.fcntl(os.open(os.__file__, os.O_RDONLY), 1024, fcntl.F_RDLCK)   # F_SETLEASE
            return x + 1
    """),
    Attack("touch_an_open_file", """
        import os
        def solve(x):
            os.utime(os.open(os.__file__, os.O_RDONLY))
            return x + 1
    """),
    Attack("touch_by_old_calls", _CALL + """
def solve(x):
    done = [call((132, None), b"@CANARY@", 0), call((235, None), b"@CANARY@", 0)]
    done.append(call((261, None), -100, b"@CANARY@", 0))
    return x + 1 if 0 in done else 0
    """),
    Attack("touch_what_was_left_open", """
        import os, stat
        def solve(x):
            done = 0
            for fd in range(64):
                try:
                    if not stat.S_ISFIFO(os.fstat(fd).st_mode):    # the pipes are nobody else's
                        os.utime(fd)
                        done += 1
                except OSError:
                    pass
            return x + 1 if done else 0
    """),
    Attack("flush_a_library_file_to_the_disk", """
        import os
        def solve(x):
            os.fsync(os.open(os.__file__, os.O_RDONLY))
            return x + 1
    """),
    Attack("change_extended_attributes", """
        import os
        def solve(x):
            os.setxattr("@CANARY@", "user.mine", b"1")
            return x + 1
    """),
    Attack("empty_the_interpreter", """
        import os, json
        def solve(x):
            done = 0
            for name in (os.__file__, json.__file__, json.__cached__):
                try:
                    os.close(os.open(name, os.O_RDONLY | os.O_TRUNC))
                    done += 1
                except OSError:
                    pass
            return x + 1 if done else 0
    """),
    # ── looking at the machine and at others ────────────────────────────────────────────────────────────────────────
    Attack("load_of_the_machine", _CALL + """
def solve(x):
    return x + 1 if call((99, 179), ctypes.create_string_buffer(256)) == 0 else 0
    """),
    Attack("cpu_time_of_the_judge", """
        import time
        def solve(x):
            time.clock_gettime(~@PARENT@ << 3 | 2)       # CPUCLOCK_SCHED of another process
            return x + 1
    """),
    Attack("clocks_of_everybody", _CALL + """
def solve(x):
    for pid in (*range(1, 400), @PARENT@, @VICTIM@):
        if pid != os.getpid() and call((229, 114), ~pid << 3 | 2, ctypes.create_string_buffer(16)) == 0:
            return x + 1
    return 0
    """),
    Attack("space_on_the_disks", """
        import os
        def solve(x):
            return x + 1 if os.statvfs(os.__file__).f_blocks >= 0 else 0
    """),
    Attack("what_others_have_read_by_preadv2", """
        import os
        def solve(x):
            buffer = bytearray(16)
            os.preadv(os.open(os.__file__, os.O_RDONLY), [buffer], 0, os.RWF_NOWAIT)
            return x + 1
    """),
    Attack("what_others_have_read_by_mincore", _CALL + """
import mmap
def solve(x):
    with open(os.__file__, "rb") as file:
        view = mmap.mmap(file.fileno(), 4096, access=mmap.ACCESS_COPY)
    start = ctypes.addressof(ctypes.c_char.from_buffer(view))
    return x + 1 if call((27, 232), start, 4096, ctypes.create_string_buffer(1)) == 0 else 0
    """),
    Attack("watch_a_folder", _CALL + """
def solve(x):
    return x + 1 if call((294, 26), 0) >= 0 else 0       # inotify_init1
    """),
    Attack("pipes_of_the_judge", """
        import os
        def solve(x):
            for fd in range(3, 200):
                for flags in (os.O_RDONLY | os.O_NONBLOCK, os.O_WRONLY | os.O_NONBLOCK):
                    try:
                        os.open(f"/proc/@PARENT@/fd/{fd}", flags)
                        return x + 1
                    except OSError:
                        pass
            return 0
    """),
    Attack("pipes_of_everybody", """
        import os
        def solve(x):
            # pids that others may have; /proc cannot be listed
            for pid in (*range(1, 400), *range(@PARENT@ - 100, @PARENT@ + 400)):
                try:
                    os.open(f"/proc/{pid}/fd/5", os.O_WRONLY | os.O_NONBLOCK)
                    return x + 1
                except OSError:
                    pass
            return 0
    """),
    Attack("take_files_from_the_judge", _CALL + """
def solve(x):
    fd = call((434, 434), @PARENT@, 0)                   # pidfd_open
    return x + 1 if fd >= 0 or call((438, 438), fd, 3, 0) >= 0 else 0
    """),
    Attack("open_by_handle", _CALL + """
def solve(x):
    # name_to_handle_at, then open_by_handle_at: the way out of a container for who may read everything
    handle = ctypes.create_string_buffer(b"\\x80\\0\\0\\0" + bytes(140), 144)
    mount = ctypes.c_int()
    named = call((303, 264), -100, b"/", handle, ctypes.byref(mount), 0)
    root = os.open(os.__file__, os.O_RDONLY)
    return x + 1 if named == 0 and call((304, 265), root, handle, 0) >= 0 else 0
    """),
    Attack("other_files_that_were_left_open", """
        import os, stat
        def solve(x):
            kinds = []
            for fd in range(3, 1024):
                try:
                    kinds.append(stat.S_ISFIFO(os.fstat(fd).st_mode))
                except OSError:
                    pass
            return x + 1 if kinds != [True, True] else 0   # the two pipes to the parent, and nothing else
    """),
    # ── system calls ────────────────────────────────────────────────────────────────────────────────────────────────
    _call("io_uring", (425, 425), "4, ctypes.create_string_buffer(256)"),
    _call("user_fault", (323, 282), "1"),
    _call("bpf_program", (321, 280), "0, ctypes.create_string_buffer(128), 128"),
    _call("performance_counters", (298, 241), "ctypes.create_string_buffer(b'\\1\\0\\0\\0\\x80', 128), 0, -1, -1, 0"),
    _call("add_key", (248, 217), "b'user', b'mine', b'x', 1, -3"),
    _call("key_ring", (250, 219), "0, -3, 1"),
    _call("kernel_log", (103, 116), "10, 0, 0"),
    _call("new_mount_interface", (430, 430), "b'tmpfs', 0"),
    _call("copy_of_a_mount", (428, 428), "-100, b'/', 1"),
    _call("remount_writable", (442, 442), "-100, b'/', 0, b'\\0' * 8 + b'\\1' + b'\\0' * 23, 32"),
    _call("enter_other_namespaces", (308, 268), "0, 0x10000000"),
    _call("new_user_namespace", (272, 97), "0x10000000"),
    _call("thread_in_a_new_user_namespace", (56, 220), "0x10000000 | 17, 0, 0, 0, 0"),
    _call("personality_without_randomness", (135, 92), "0x40000"),
    _call("system_v_shared_memory", (29, 194), "0, 4096, 0o1600"),
    _call("system_v_semaphores", (64, 190), "0, 1, 0o1600"),
    _call("system_v_messages", (68, 186), "0, 0o1600"),
    _call("posix_message_queue", (240, 180), "b'mine', 0o102, 0o600, 0"),
    _call("socket_pair", (53, 199), "1, 1, 0, ctypes.create_string_buffer(8)"),
    _call("lower_own_priority", (141, 140), "0, 0, 19"),
    _call("bind_to_one_core", (203, 122), "0, 8, b'\\1' + b'\\0' * 7"),
    _call("real_time_scheduling", (144, 119), "0, 3, b'\\0' * 4"),
    _call("queue_a_signal_to_the_parent", (129, 138), "@PARENT@, 0, ctypes.create_string_buffer(128)"),
    _call("thread_directed_signal", (200, 130), "@VICTIM@, 0"),
    _call("secret_memory", (447, 447), "0"),
    _call("lock_memory", (149, 228), "ctypes.create_string_buffer(8192), 4096"),
    _call("seccomp_of_ones_own", (317, 277), "1, 0, 0"),
    _call("become_dumpable", (157, 167), "4, 1, 0, 0, 0"),
    _call("get_capabilities_back", (126, 91), "b'\\x22\\x05\\x08\\x20' + b'\\0' * 4, b'\\xff' * 24"),
    _call("become_user_one", (105, 146), "1"),
    Attack("become_nobodys_group", "import os\ndef solve(x):\n    os.setgroups([0])\n    return x + 1\n"),
    Attack("any_call_that_is_not_on_the_list", _CALL + """
LISTED = @CALLS@
def solve(x):
    for number in range(0, 470):
        if number not in LISTED:
            ctypes.set_errno(0)
            if LIBC.syscall(ctypes.c_long(number), 0, 0, 0, 0, 0, 0) != -1 or ctypes.get_errno() != errno.ENOSYS:
                return x + 1
    return 0
    """),
    # ── other doors to the kernel: machine code, numbers that the filter and the kernel might read differently ───────
    Attack("call_by_the_32_bit_gate", _MACHINE_CODE + """
def solve(x):
    # mov eax, 20; int 0x80; ret: getpid by its number of 32-bit x86
    return x + 1 if run(b"\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3") > 0 else 0
    """, once=True),
    Attack("fork_by_the_32_bit_gate", _MACHINE_CODE + """
def solve(x):
    return x + 1 if run(b"\\xb8\\x02\\0\\0\\0\\xcd\\x80\\xc3") >= 0 else 0
    """, once=True),
    _call("number_of_the_x32_interface", (0x40000000 | 39, None)),
    _call("socket_of_the_x32_interface", (0x40000000 | 41, None), "2, 1, 0"),
    _call("socket_by_a_number_with_high_bits", (1 << 32 | 41, 1 << 32 | 198), "2, 1, 0"),
    _call("fork_by_a_number_with_high_bits", (1 << 32 | 57, None)),
    _call("a_negative_number", (-1, -1)),
    _call("kill_by_a_process_id_with_high_bits", (62, 129), "1 << 32 | @VICTIM@, 15"),
    _call("open_to_empty_with_high_bits", (257, 56), "-100, b'@CANARY@', 1 << 32 | os.O_TRUNC"),
    _call("process_by_new_clone", (435, 435), "b'\\0' * 32 + b'\\x11' + b'\\0' * 55, 88"),
    _call("process_that_shares_memory", (56, 220), "0x100 | 17, 0, 0, 0, 0"),
    _call("vector_read_of_the_judges_memory", (310, 270), "@PARENT@, b'\\0' * 16, 1, b'\\0' * 16, 1, 0"),
    _call("signal_to_a_process_by_file", (424, 424), "0, 9, 0, 0"),
    _call("execute_a_file_by_descriptor", (322, 281), "0, b'', 0, 0, 0x1000"),
    _call("map_another_file_system", (429, 429), "-100, b'/', -100, b'/tmp', 0"),
    _call("wait_on_many_futexes", (449, 449), "0, 0, 0, 0, 0"),
    Attack("type_into_the_terminal", """
        import fcntl, os, termios
        def solve(x):
            done = 0
            for fd in (*range(16), os.open("/dev/tty", os.O_RDWR) if os.path.exists("/dev/tty") else 0):
                try:
                    fcntl.ioctl(fd, termios.TIOCSTI, b"x")
                    done += 1
                except OSError:
                    pass
            return x + 1 if done else 0
    """),
    Attack("own_memory_by_proc", """
        import ctypes
        def solve(x):
            number = ctypes.c_long(x)
            with open("/proc/self/mem", "r+b", buffering=0) as memory:
                memory.seek(ctypes.addressof(number))
                memory.write((x + 1).to_bytes(8, "little"))
            return number.value
    """),
    Attack("roots_and_folders_of_others", """
        import os
        def solve(x):
            for pid in ("self", "1", "@PARENT@", "@VICTIM@"):
                for place in ("root/etc/passwd", "cwd/.", "exe", "map_files", "fdinfo/0", "stack", "syscall", "auxv"):
                    try:
                        os.close(os.open(f"/proc/{pid}/{place}", os.O_RDONLY | os.O_NONBLOCK))
                        if (pid, place) != ("self", "cwd/."):    # its own folder
                            return x + 1
                    except OSError:
                        pass
            return 0
    """),
    Attack("links_that_tell_of_the_judge", """
        import os
        def solve(x):
            for pid in ("1", "@PARENT@", "@VICTIM@"):
                for place in ("cwd", "exe", "root", "fd/0", "fd/1", "ns/user"):
                    try:
                        os.readlink(f"/proc/{pid}/{place}")
                        return x + 1
                    except OSError:
                        pass
            return 0
    """),
    # ── the answer without the work ─────────────────────────────────────────────────────────────────────────────────
    Attack("answer_the_next_question_too", """
        import json, os, struct
        def solve(x):
            # the answers to the coming questions, ahead of time: no more than guesses
            for number in range(2, 6):
                body = json.dumps({"id": number, "value": 7}).encode()
                for fd in range(3, 64):
                    try:
                        os.write(fd, struct.pack(">I", len(body)) + body)
                    except OSError:
                        pass
            return 7
    """),
    Attack("take_back_the_output", """
        import os, time
        def solve(x):
            # a way to read the pipe that the judge reads: it is told that something is there, and then nothing is
            ways = []
            for fd in range(1, 64):
                try:
                    ways.append((fd, os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK)))
                except OSError:
                    pass
            for fd, way in ways[:1]:
                for _ in range(300):
                    try:
                        os.write(fd, b"x")
                        os.read(way, 1)
                    except OSError:
                        pass
            time.sleep(20)
            os._exit(0)   # lets a judge go on that waits in vain
    """, hangs=True),
    Attack("tracer_that_rewrites_the_judges_variables", """
        import ctypes, sys
        def trace(frame, event, argument):
            for name in ("answer", "result", "function", "request"):
                if name in frame.f_locals:
                    frame.f_locals[name] = {"id": frame.f_locals.get("request", {}).get("id"), "value": True}
                    ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(0))
            return trace
        sys.settrace(trace)
        frame = sys._getframe()
        while frame:
            frame.f_trace, frame = trace, frame.f_back
        def solve(x):
            return True
    """),
    Attack("audit_hook_at_every_step", """
        import json, os, struct, sys
        def hook(event, arguments):
            if event in ("compile", "exec", "import", "object.__getattr__"):
                body = json.dumps({"id": 2, "value": True, "loaded": True}).encode()
                for fd in range(3, 8):
                    try:
                        os.write(fd, struct.pack(">I", len(body)) + body)
                    except OSError:
                        pass
        sys.addaudithook(hook)
        def solve(x):
            exec("pass")
            return True
    """),
    Attack("finaliser_that_answers", """
        import json, os, struct
        class Last:
            def __del__(self):
                body = json.dumps({"id": 2, "value": True}).encode()
                for fd in range(3, 8):
                    try:
                        os.write(fd, struct.pack(">I", len(body)) + body)
                    except OSError:
                        pass
        def solve(x):
            Last()
            raise ValueError(Last())
    """),
    Attack("codec_and_importer_of_ones_own", """
        import builtins, codecs, sys
        codecs.register(lambda name: codecs.lookup("rot13"))
        sys.meta_path.insert(0, type("All", (), {"find_spec": staticmethod(lambda *_: None)}))
        builtins.__import__ = lambda *_, **__: sys
        def solve(x):
            return "x".encode("ascii")
    """),
    Attack("module_nested_outcome", """
        import os, struct
        def solve(x):
            body = b'{"id":2,"outcome":' + b"[" * 900 + b"]" * 900 + b"}"
            for fd in range(3, 64):
                try:
                    os.write(fd, struct.pack(">I", len(body)) + body)
                except OSError:
                    pass
    """, "module"),
    Attack("a_number_that_json_takes_for_infinite", """
        import os, struct
        def solve(x):
            body = b'{"id":2,"value":1e999}'
            for fd in range(3, 64):
                try:
                    os.write(fd, struct.pack(">I", len(body)) + body)
                except OSError:
                    pass
            return float("inf")
    """),
    Attack("not_a_number", "def solve(x): return float('nan')\n"),
    Attack("the_expected_value_by_name", """
        import __main__, sys
        def solve(x):
            for module in (__main__, *list(sys.modules.values())):
                for name in ("expected", "cases", "RIGHT", "token", "tests"):
                    if hasattr(module, name):
                        return getattr(module, name)
            return None
    """),
    Attack("the_last_answer_from_a_file", """
        import os
        def solve(x):
            for folder in ("/tmp", "/dev/shm", "/var/tmp", "/run/lock"):
                path = os.path.join(folder, "left-by-the-last-one")
                if os.path.exists(path):
                    return x + 1
                try:
                    open(path, "w").write("x")
                except OSError:
                    pass
            os._exit(0)   # the next case runs in a new child: does it see the file?
    """),
    Attack("module_pytest_replaced", """
        import sys, types
        sys.modules["pytest"] = types.ModuleType("pytest")
        def solve(x):
            return None
    """, "module"),
    Attack("module_read_package", """
        def solve(x):
            return x + 1 if open("@PACKAGES@/answers/data.py").read() else 0
    """, "module"),
    Attack("module_truncate_file", """
        import os
        def solve(x):
            os.close(os.open("@CANARY@", os.O_RDONLY | os.O_TRUNC))
            return x + 1
    """, "module"),
    # ── staying ─────────────────────────────────────────────────────────────────────────────────────────────────────
    Attack("leave_a_hook_for_every_python", """
        import os, site, sys
        def solve(x):
            home = os.path.dirname(os.__file__)
            for path in (f"{home}/sitecustomize.py", f"{home}/site-packages/mine.pth", "@PACKAGES@/mine.pth",
                         "@HOME@/.local/lib/mine.pth", "@HOME@/.profile", "@HOME@/.bashrc"):
                try:
                    open(path, "a").close()
                    return x + 1
                except OSError:
                    pass
            return 0
    """),
    Attack("poison_the_compiled_library", """
        import glob, os
        def solve(x):
            for path in glob.glob(os.path.join(os.path.dirname(os.__file__), "__pycache__", "*.pyc"))[:5]:
                try:
                    open(path, "r+b").close()
                    return x + 1
                except OSError:
                    pass
            return 0
    """),
    Attack("leave_only_a_thread_behind", _CALL + """
import threading, time
def again():
    while True:
        time.sleep(0.01)
def solve(x):
    threading.Thread(target=again).start()
    LIBC.syscall(ctypes.c_long((60, 93)[COLUMN]), 0)     # exit, of the first thread alone: the process goes on
    """, hangs=True),
    Attack("a_timer_that_outlives", """
        import ctypes, os, signal, threading, time
        def again():
            while True:
                try:
                    time.sleep(0.01)
                except BaseException:
                    pass
        for _ in range(5):
            threading.Thread(target=again).start()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        def solve(x):
            time.sleep(1e6)
    """, hangs=True),
    Attack("keep_the_pipe_after_the_answer", """
        import os, threading, time
        def late():
            time.sleep(0.2)
            for fd in range(3, 64):
                try:
                    os.write(fd, b"\\0\\0\\0\\2{}" * 1000)
                except OSError:
                    pass
        threading.Thread(target=late).start()
        def solve(x):
            time.sleep(0.5)
            return x + 1
    """),
]  # fmt: skip
