//! By which listener a connection came in. What is answered there is for `routes` and `redirect` to say.

/// The listener by which a connection came in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Door {
    /// That of the clients.
    #[default]
    Public,
    /// That of the operators, if there is one.
    Admin,
    /// That of plain HTTP, from where everybody is redirected to HTTPS, if there is one.
    Redirect,
}
