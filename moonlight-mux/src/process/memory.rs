//! What Linux says of a process's memory. Pure.

/// A field of `/proc/PID/status` that counts memory (proc_pid_status(5)), in bytes.
pub(super) fn field(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_what_linux_says() {
        let status = "Name:\tx\nVmRSS:\t   12345 kB\nVmData:\t    678 kB\nThreads:\t2\n";
        assert_eq!(field(status, "VmRSS"), Some(12_345 * 1024));
        assert_eq!(field(status, "VmData"), Some(678 * 1024));
        assert_eq!(field("VmRSS:\t18446744073709551615 kB\n", "VmRSS"), None, "more than there can be");
        for text in ["", "VmRSS", "VmRSS: x kB", "VmRSS: 5", "VmSize: 5 kB", "VmRSSX: 5 kB"] {
            assert_eq!(field(text, "VmRSS"), None, "{text:?}");
        }
    }
}
