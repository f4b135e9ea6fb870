//! What a program took: time, its peak of memory, and what it left in the kernel.
#![allow(
    unsafe_code,
    reason = "nothing else than wait4(2) says what one child took"
)]

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Seek as _},
    mem,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::libc;

/// What one program took.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    /// Until its work was done.
    pub time: Duration,
    /// Most memory that the process had at once, bytes.
    pub peak: u64,
    /// What the kernel holds more than before, bytes: slab and vmalloc memory that cannot be
    /// reclaimed. Other programs of the machine are in it.
    pub kernel: u64,
}

/// Runs a program to its end; an error is what it said.
///
/// The caller must be small: a new process begins with its parent's peak.
pub fn of(command: &mut Command) -> Result<Spent, String> {
    let mut said = said(command.stdin(Stdio::null()).stdout(Stdio::null()))?;
    let before = kernel_memory();
    let begin = Instant::now();
    let child = command.spawn().map_err(|error| error.to_string())?;
    let (status, peak) = wait(&child).map_err(|error| error.to_string())?;
    let time = begin.elapsed();
    let kernel = kernel_memory().saturating_sub(before);
    if status != 0 {
        return Err(first_line(&mut said));
    }
    Ok(Spent { time, peak, kernel })
}

/// Runs a program that says `begin` and `ready` in lines of their own around its work, and goes on
/// living until its standard input ends.
pub fn until_ready(command: &mut Command) -> Result<Spent, String> {
    let mut said = said(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
    let (mut before, mut begin) = (0, Instant::now());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let mut out = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut said_line = |wanted: &str| {
        out.by_ref()
            .map_while(Result::ok)
            .any(|line| line == wanted)
    };
    if said_line("begin") {
        (before, begin) = (kernel_memory(), Instant::now());
    }
    let ready = said_line("ready");
    let time = begin.elapsed();
    let kernel = kernel_memory().saturating_sub(before);
    drop(child.stdin.take());
    let (status, peak) = wait(&child).map_err(|error| error.to_string())?;
    if status != 0 || !ready {
        return Err(first_line(&mut said));
    }
    Ok(Spent { time, peak, kernel })
}

/// A file for what the program complains of: a pipe could fill up.
fn said(command: &mut Command) -> Result<File, String> {
    let file = tempfile::tempfile().map_err(|error| error.to_string())?;
    command.stderr(file.try_clone().map_err(|error| error.to_string())?);
    Ok(file)
}

fn first_line(said: &mut File) -> String {
    let mut line = String::new();
    let read = said
        .rewind()
        .and_then(|()| BufReader::new(said).read_line(&mut line));
    match read {
        Ok(1..) => line.trim_end().to_owned(),
        _ => "it failed and said nothing".to_owned(),
    }
}

/// Reaps the child: its wait status and its peak in bytes.
fn wait(child: &Child) -> io::Result<(i32, u64)> {
    let mut status = 0;
    // SAFETY: plain numbers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    // SAFETY: both places outlive the call; the child is ours and nobody else waits for it.
    let reaped =
        unsafe { libc::wait4(child.id().cast_signed(), &raw mut status, 0, &raw mut usage) };
    if reaped < 0 {
        return Err(io::Error::last_os_error());
    }
    // The kernel counts in KiB.
    Ok((status, usage.ru_maxrss.cast_unsigned() * 1024))
}

/// The peak so far of a process that runs, in bytes (`VmHWM`).
pub fn peak_of(process: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
    let of = |line: &str| -> Option<u64> {
        let value = line.strip_prefix("VmHWM:")?.trim();
        value.strip_suffix(" kB")?.parse().ok()
    };
    text.lines().find_map(of).expect("a process has memory") * 1024
}

/// Bytes of kernel memory that cannot be reclaimed: unreclaimable slab, vmalloc, per-CPU.
pub fn kernel_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").expect("meminfo");
    let of = |line: &str| -> Option<u64> {
        let (name, value) = line.split_once(':')?;
        ["SUnreclaim", "VmallocUsed", "Percpu"]
            .contains(&name)
            .then(|| value.trim().strip_suffix(" kB")?.parse().ok())?
    };
    text.lines().filter_map(of).sum::<u64>() * 1024
}

/// Waits until the kernel has freed what the last program left, 20 s at most: namespaces and maps
/// are taken down later, on the same processors.
pub fn settle() {
    let mut last = kernel_memory();
    let mut calm = 0;
    for _ in 0..100 {
        thread::sleep(Duration::from_millis(200));
        let now = kernel_memory();
        calm = if now + (1 << 20) > last { calm + 1 } else { 0 };
        last = now;
        if calm == 5 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_that_of_the_child() {
        let small = of(&mut Command::new("true")).unwrap();
        let large = ["if=/dev/zero", "of=/dev/null", "bs=128M", "count=1"];
        let large = of(Command::new("dd").args(large)).unwrap();
        assert!(
            small.peak < 128 << 20 && large.peak > 128 << 20,
            "{small:?} {large:?}"
        );
    }

    #[test]
    fn a_program_lives_until_its_standard_input_ends() {
        let ready =
            until_ready(Command::new("sh").args(["-c", "echo begin; echo ready; exec cat"]));
        assert!(ready.is_ok(), "{ready:?}");
        let mute = until_ready(Command::new("sh").args(["-c", "echo no >&2; exit 1"]));
        assert_eq!(mute.unwrap_err(), "no");
    }

    #[test]
    fn a_failure_says_what_the_program_said() {
        let error = of(Command::new("ls").arg("/nowhere/at/all")).unwrap_err();
        assert!(error.contains("/nowhere/at/all"), "{error}");
    }
}
