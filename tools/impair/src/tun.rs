//! A TUN device inside a network namespace.
//!
//! In → Out: a namespace's name → a descriptor that reads and writes IP packets, non-blocking.
//! Spec: Linux "Universal TUN/TAP device driver"; `setns(2)`.
#![expect(
    unsafe_code,
    reason = "a TUN device is made by ioctl, a namespace entered by setns"
)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

const TUNSETIFF: libc::Ioctl = 0x4004_54ca;
const NAME_SIZE: usize = 16;

#[repr(C)]
struct InterfaceRequest {
    name: [u8; NAME_SIZE],
    flags: i16,
    padding: [u8; 22],
}

/// Makes the device `name` in the namespace and opens it.
pub(crate) fn open(namespace: &str, name: &str) -> io::Result<File> {
    let namespace = File::open(format!("/run/netns/{namespace}"))?;
    let name = name.to_owned();
    // A thread of its own: setns moves only the calling thread, and this one ends.
    let opened = std::thread::spawn(move || {
        // SAFETY: the descriptor is open for the duration of the call.
        if unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let device = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/net/tun")?;
        let flags = i16::try_from(libc::IFF_TUN | libc::IFF_NO_PI).map_err(io::Error::other)?;
        let mut request = InterfaceRequest {
            name: [0; NAME_SIZE],
            flags,
            padding: [0; 22],
        };
        let bytes = name.as_bytes();
        let length = bytes.len().min(NAME_SIZE - 1);
        request.name[..length].copy_from_slice(&bytes[..length]);
        // SAFETY: the kernel reads and writes one request structure of the size that it expects (struct ifreq, 40 bytes).
        if unsafe { libc::ioctl(device.as_raw_fd(), TUNSETIFF, &raw mut request) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(device)
    });
    opened
        .join()
        .map_err(|_| io::Error::other("the namespace thread panicked"))?
}

/// Waits until one of two descriptors is readable, or `patience` is over.
pub(crate) fn wait(one: &File, other: &File, patience: std::time::Duration) -> io::Result<()> {
    let poll = |file: &File| libc::pollfd {
        fd: file.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let mut descriptors = [poll(one), poll(other)];
    let patience = libc::timespec {
        tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(patience.subsec_nanos()),
    };
    // SAFETY: the array and the time are live locals; the signal mask is allowed to be null.
    let ready = unsafe {
        libc::ppoll(
            descriptors.as_mut_ptr(),
            2,
            &raw const patience,
            std::ptr::null(),
        )
    };
    match ready {
        -1 if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted => {
            Err(io::Error::last_os_error())
        }
        _ => Ok(()),
    }
}
