//! The sixty calls that no actor may make.
//!
//! Owns: the list, and what each call is made with. Must not know: how a wall refuses. Invariant:
//! where there is no wall each call does something harmless, or fails for another reason than a
//! lack of rights: so an attack that is denied is denied by a wall.

use super::acts;
use super::ground::Ground;
use super::raw::*;
use crate::corpus::{Attack, Wall};

/// What becomes of a call where there is no wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwalled {
    /// Nobody refuses it.
    Free,
    /// The kernel refuses it to ordinary users.
    Root,
    /// Not every kernel has it.
    Built,
}

/// A call that no actor may make.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// What the page tells of it.
    pub attack: Attack,
    /// Whether the kernel refuses it also where there is no wall.
    pub unwalled: Unwalled,
    /// Makes it.
    pub(super) make: fn(&Ground) -> Result,
}

/// Calls that the filter refuses, and nothing else.
const FILTER: &[Wall] = &[Wall::Seccomp];

/// Calls that the kernel refuses to whom it has fenced in, too.
const BOTH: &[Wall] = &[Wall::Landlock, Wall::Seccomp];

use Unwalled::{Built, Free, Root};

macro_rules! calls {
    ($($id:literal $title:literal $walls:ident $without:ident $make:expr;)*) => {
        /// All of them.
        pub const CALLS: &[Call] = &[$(
            Call {
                attack: Attack { id: $id, title: $title, walls: $walls, alone: $walls },
                unwalled: $without,
                make: $make,
            },
        )*];
    };
}

calls! {
    "sys-01" "start a process with fork" FILTER Free |_| start(old::FORK, []);
    "sys-02" "start a process with vfork" FILTER Free |_| start_in_place();
    "sys-03" "start a process with clone that shares memory" FILTER Free |_| start_sharing();
    "sys-04" "start a process with clone3" FILTER Free |_| acts::clone3();
    "sys-05" "execute a program by its path" BOTH Free |ground| acts::execute_path(ground);
    "sys-06" "execute a program by a descriptor" BOTH Free |ground| acts::execute_descriptor(ground);
    "sys-07" "execute a program written to memory" FILTER Free |_| acts::execute_memory();
    "sys-08" "attach to the broker as a debugger" BOTH Root
        |ground| call(SYS_ptrace, [0x4206, ground.broker, 0, 0]);
    "sys-09" "have a debugger attached" FILTER Free |_| call(SYS_ptrace, [0, 0, 0, 0]);
    "sys-10" "read the broker's memory" BOTH Root |ground| acts::foreign_memory(ground, SYS_process_vm_readv);
    "sys-11" "write the broker's memory" BOTH Root
        |ground| acts::foreign_memory(ground, SYS_process_vm_writev);
    "sys-12" "change the broker's bounds" FILTER Root |ground| acts::bounds(ground);
    "sys-13" "send the broker a signal" BOTH Free |ground| call(SYS_kill, [ground.broker, acts::HARMLESS]);
    "sys-14" "send every process a signal" FILTER Free |_| call(SYS_kill, [usize::MAX, 0]);
    "sys-15" "send a thread of the broker's a signal" BOTH Free
        |ground| call(SYS_tgkill, [ground.broker, ground.broker, acts::HARMLESS]);
    "sys-16" "open the broker as a descriptor" FILTER Free
        |ground| call(SYS_pidfd_open, [ground.broker, 0]);
    "sys-17" "send a signal through a descriptor" BOTH Free
        |ground| call(SYS_pidfd_send_signal, [ground.process(), acts::HARMLESS, 0, 0]);
    "sys-18" "take a descriptor out of the broker" BOTH Root
        |ground| call(SYS_pidfd_getfd, [ground.process(), 0, 0]);
    "sys-19" "make a Unix socket" FILTER Free |_| call(SYS_socket, [1, 1, 0]);
    "sys-20" "make a TCP socket" FILTER Free |_| call(SYS_socket, [2, 1, 0]);
    "sys-21" "make a UDP socket" FILTER Free |_| call(SYS_socket, [10, 2, 0]);
    "sys-22" "make a netlink socket" FILTER Free |_| call(SYS_socket, [16, 3, 0]);
    "sys-23" "make a raw socket" FILTER Root |_| call(SYS_socket, [2, 3, 1]);
    "sys-24" "make a packet socket" FILTER Root |_| call(SYS_socket, [17, 3, 0]);
    "sys-25" "make a socket to other machines of this host" FILTER Free |_| call(SYS_socket, [40, 1, 0]);
    "sys-26" "make a pair of sockets" FILTER Free |_| acts::pair();
    "sys-27" "give a socket an address" FILTER Free |ground| acts::address(ground, SYS_bind);
    "sys-28" "connect a socket" FILTER Free |ground| acts::address(ground, SYS_connect);
    "sys-29" "map memory that can be executed" FILTER Free |_| acts::map(7, 0x22, usize::MAX);
    "sys-30" "map a file so that it can be executed" FILTER Free
        |ground| acts::map(5, 2, ground.program());
    "sys-31" "make memory executable" FILTER Free |_| acts::protect(SYS_mprotect);
    "sys-32" "make memory executable, with a key" FILTER Free |_| acts::protect(SYS_pkey_mprotect);
    "sys-33" "handle the faults of memory" FILTER Root |_| call(SYS_userfaultfd, [0]);
    "sys-34" "rearrange the pages of a mapping" FILTER Free |_| call(SYS_remap_file_pages, [0, 0, 0, 0, 0]);
    "sys-35" "share memory with other processes" FILTER Built |_| call(SYS_shmget, [0, 0, 0]);
    "sys-36" "set up a ring of calls" FILTER Built |_| call(SYS_io_uring_setup, [0, 0]);
    "sys-37" "add a key to a keyring" FILTER Built |_| call(SYS_add_key, [0, 0, 0, 0, 0]);
    "sys-38" "load a program into the kernel" FILTER Root |_| call(SYS_bpf, [5, 0, 0]);
    "sys-39" "watch the processor's counters" FILTER Root |_| call(SYS_perf_event_open, [0, 0, 0, 0, 0]);
    "sys-40" "load a module of the kernel" FILTER Built |_| call(SYS_init_module, [0, 0, 0]);
    "sys-41" "load a module of the kernel from a file" FILTER Built
        |_| call(SYS_finit_module, [usize::MAX, 0, 0]);
    "sys-42" "load another kernel" FILTER Built |_| call(SYS_kexec_load, [0, usize::MAX, 0, 0]);
    "sys-43" "set up segments of memory" FILTER Built |_| call(old::MODIFY_LDT, [0xff, 0, 0]);
    "sys-44" "make a call as programs of 32 bits do" FILTER Built |_| old_mode();
    "sys-45" "mount a file system" BOTH Root |_| acts::mount();
    "sys-46" "unmount a file system" BOTH Root |_| acts::unmount();
    "sys-47" "open a file system to mount it" FILTER Root |_| acts::file_system();
    "sys-48" "change the root of the machine" BOTH Root |_| acts::pivot();
    "sys-49" "change its own root" FILTER Root |_| acts::change_root();
    "sys-50" "leave its name spaces" FILTER Root |_| call(SYS_unshare, [acts::NEW_USERS]);
    "sys-51" "enter the name spaces of others" FILTER Free |_| call(SYS_setns, [usize::MAX, 0]);
    "sys-52" "open a file by its handle" FILTER Root |ground| acts::handle(ground);
    "sys-53" "make a device" BOTH Root |ground| acts::device(ground);
    "sys-54" "become another user" FILTER Free |_| acts::same_user();
    "sys-55" "join other groups" FILTER Root |_| call(SYS_setgroups, [0, 0]);
    "sys-56" "change its capabilities" FILTER Free |_| acts::capabilities();
    "sys-57" "change how the kernel sees it" FILTER Free |_| call(SYS_personality, [0]);
    "sys-58" "add a filter of its own" FILTER Free |_| call(SYS_seccomp, [1, 0, 0]);
    "sys-59" "set the clock" FILTER Root |_| acts::clock();
    "sys-60" "stop the machine" FILTER Root |_| call(SYS_reboot, [0, 0, 0, 0]);
}
