//! What the process may not do, from its first moment.

/// Set to `allow`, the system may write core dumps and debuggers may attach. Whatever is in memory is then theirs to read.
const CORE_DUMPS: &str = "PORTUNUS_CORE_DUMPS";

/// No core dumps of this process or of programs that it starts, and, on Linux, no look into its memory by other processes of
/// the same user.
pub(crate) fn forbid_core_dumps() {
    if std::env::var_os(CORE_DUMPS).is_some_and(|word| word == "allow") {
        return;
    }
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        // Lowering a limit cannot be refused; and a system that does refuse is no reason not to serve.
        let none = Rlimit { current: Some(0), maximum: Some(0) };
        let _ = setrlimit(Resource::Core, none);
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}
