//! `portunus sqlite` alone, driven by the Python SDK over standard input and output.

use crate::clients;

#[test]
fn the_python_sdk_drives_the_sql_server_over_stdio() {
    clients::python("stdio.py", &[]);
}
