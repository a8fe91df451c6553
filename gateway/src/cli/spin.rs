//! How long compute threads spin at a barrier before they sleep.
//!
//! libgomp's default is 300,000 rounds, about a millisecond: on a machine that does something else too, a thread that
//! waits for one that was preempted then burns the very time the other needs, and a token takes seconds (measured: 16
//! tokens in 5 to 10 s beside two busy processes on two cores; 0.6 to 1.2 s with this value; undisturbed, no
//! difference). libgomp reads the variable when it is loaded, so the process starts itself once more with it.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Longer than a barrier takes among threads that run, far shorter than a time slice.
const ROUNDS: &str = "10000";
const VARIABLE: &str = "GOMP_SPINCOUNT";

/// Starts the process once more with the variable, unless somebody has decided already. Returns where that is not
/// needed or not possible; the process and its id stay the same.
pub(super) fn shorten() {
    let decided = [VARIABLE, "OMP_WAIT_POLICY"].into_iter().any(|name| std::env::var_os(name).is_some());
    let Ok(program) = std::env::current_exe() else { return };
    if !decided {
        let mut arguments = std::env::args_os();
        let name = arguments.next().unwrap_or_default();
        let error = Command::new(program).arg0(name).args(arguments).env(VARIABLE, ROUNDS).exec();
        eprintln!("gateway: the compute threads keep their default spin: {error}");
    }
}
