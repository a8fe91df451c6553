//! The permissions that operations ask for, as types.

pub use openapi::admin::policy::PermissionName;

/// A permission, named in an operation's first argument.
pub trait Permission: Send + Sync + 'static {
    /// Its name in roles; `None` where being known is enough.
    const NAME: Option<PermissionName>;
}

/// For operations that everybody may use who is known.
#[derive(Debug, Clone, Copy)]
pub struct Known;

impl Permission for Known {
    const NAME: Option<PermissionName> = None;
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy)]
            pub struct $name;

            impl Permission for $name {
                const NAME: Option<PermissionName> = Some(PermissionName::$name);
            }
        )*
    };
}

permissions! {
    /// Chat, completions, predict, tokens.
    Chat;
    /// Embeddings.
    Embeddings;
    /// Conversations and stored responses, one's own.
    Conversations;
    /// The list of models.
    ModelsRead;
    /// Routes to models.
    ModelsManage;
    /// Reading roles and subjects.
    RolesRead;
    /// Changing roles and subjects.
    RolesManage;
    /// Keys and tokens.
    KeysManage;
    /// The usage of others, and the audit.
    UsageRead;
    /// The gateway's own diagnostics.
    MetricsRead;
}
