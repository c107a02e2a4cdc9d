//! What an encoder process may not do: it parses what strangers send.
//!
//! In → Out: a command → the same command, whose process has no network, no files beyond the system's libraries, bounded
//! memory, its own process group, and dies with us. Where a kernel lacks Landlock or seccomp the rest still holds.
//! Spec: Linux `landlock(7)`, `seccomp(2)`, `setrlimit(2)`, `prctl(2)`.
#![expect(
    unsafe_code,
    reason = "restrictions on a child are applied between fork and exec"
)]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use std::os::unix::process::CommandExt;

use landlock::{
    ABI, Access, AccessFs, AccessNet, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// Directories that any dynamically linked program reads.
const SYSTEM: [&str; 8] = [
    "/usr",
    "/lib",
    "/lib64",
    "/bin",
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/proc/cpuinfo",
    "/sys/devices/system/cpu",
];
/// Devices of hardware encoders, and the sinks that libraries open.
const DEVICES: [&str; 9] = [
    "/dev/null",
    "/dev/zero",
    "/dev/urandom",
    "/dev/random",
    "/dev/dri",
    "/dev/nvidia0",
    "/dev/nvidiactl",
    "/dev/nvidia-uvm",
    "/dev/video11",
];
const OPEN_FILES_MAX: u64 = 64;

/// Restricts the process that `command` will start. `program` is what it runs, `memory_max` its address space in bytes.
pub(crate) fn confine(command: &mut Command, program: &Path, memory_max: u64) {
    command
        .env_clear()
        .env("LC_ALL", "C")
        .current_dir("/")
        .process_group(0);
    let mut ruleset = files(program).ok();
    let filter = system_calls().ok();
    let parent = std::process::id();
    // SAFETY: between fork and exec only system calls are made here: the ruleset and the filter were built before, and
    // applying them allocates nothing; a failure of the last two is ignored because older kernels lack them.
    unsafe {
        command.pre_exec(move || {
            limit(libc::RLIMIT_AS, memory_max)?;
            limit(libc::RLIMIT_NOFILE, OPEN_FILES_MAX)?;
            limit(libc::RLIMIT_CORE, 0)?;
            limit(libc::RLIMIT_FSIZE, 0)?;
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            if libc::getppid().cast_unsigned() != parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            if let Some(ruleset) = ruleset.take() {
                drop(ruleset.restrict_self());
            }
            if let Some(filter) = &filter {
                drop(seccompiler::apply_filter(filter));
            }
            Ok(())
        });
    }
}

fn limit(resource: libc::__rlimit_resource_t, value: u64) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: value,
        rlim_max: value,
    };
    // SAFETY: the pointer is to a live local of the right type.
    match unsafe { libc::setrlimit(resource, &raw const limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Reading and running below the system's directories, reading and writing devices, nothing else; no TCP.
fn files(program: &Path) -> Result<RulesetCreated, landlock::RulesetError> {
    let abi = ABI::V5;
    let read = AccessFs::from_read(abi);
    let ruleset = Ruleset::default().handle_access(AccessFs::from_all(abi))?;
    let mut ruleset = ruleset.handle_access(AccessNet::from_all(abi))?.create()?;
    let own = program
        .canonicalize()
        .ok()
        .and_then(|path| path.parent().map(Path::to_path_buf));
    for path in SYSTEM.iter().map(PathBuf::from).chain(own) {
        if let Ok(opened) = PathFd::new(&path) {
            let access = if path.is_dir() {
                read
            } else {
                read & AccessFs::from_file(abi)
            };
            ruleset = ruleset.add_rule(PathBeneath::new(opened, access))?;
        }
    }
    for path in DEVICES {
        if let Ok(opened) = PathFd::new(path) {
            let access = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
            let access = if Path::new(path).is_dir() {
                access | AccessFs::ReadDir
            } else {
                access
            };
            ruleset = ruleset.add_rule(PathBeneath::new(opened, access))?;
        }
    }
    Ok(ruleset)
}

/// Refuses sockets, other processes and the kernel's knobs with `EPERM`; everything else an encoder may do.
fn system_calls() -> Result<BpfProgram, Box<dyn std::error::Error>> {
    let refused = [
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_chroot,
        libc::SYS_pivot_root,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_kexec_load,
        libc::SYS_kill,
        libc::SYS_tkill,
    ];
    let rules: BTreeMap<i64, Vec<_>> = refused.into_iter().map(|call| (call, Vec::new())).collect();
    let errno = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        errno,
        std::env::consts::ARCH.try_into()?,
    )?;
    Ok(filter.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;

    fn run(script: &str) -> (bool, String) {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).stdin(Stdio::null());
        confine(&mut command, Path::new("/bin/sh"), 1 << 30);
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    }

    #[test]
    fn a_confined_process_runs_but_reads_and_writes_no_files_of_ours() {
        let directory =
            std::env::temp_dir().join(format!("nearcast-sandbox-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join("secret");
        std::fs::write(&file, "a stream key").unwrap();
        let name = file.to_str().unwrap();
        assert_eq!(run("echo fine"), (true, "fine\n".to_owned()));
        let (wrote, _) = run(&format!("echo x > {name}.new"));
        let written = std::fs::read(directory.join("secret.new")).unwrap_or_default();
        assert!(
            !wrote && written.is_empty(),
            "neither Landlock nor the size limit let a byte through"
        );
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "a stream key");
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn pkg_08_memory_and_open_files_are_limited() {
        let (_, text) = run("ulimit -v; ulimit -n; ulimit -c");
        assert_eq!(
            text,
            format!("{}\n{OPEN_FILES_MAX}\n0\n", (1_u64 << 30) / 1024)
        );
    }

    #[test]
    fn a_confined_process_has_no_network() {
        let (connected, text) = run("exec perl -e 'socket(S, 2, 1, 0) or die $!'");
        assert!(!connected, "{text}");
        assert!(text.contains("Operation not permitted"), "{text}");
    }
}
