//! The permissions that operations ask for, as types.

/// A permission, named in an operation's first argument.
pub trait Permission: Send + Sync + 'static {
    /// Its name in roles.
    const NAME: &'static str;
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy)]
            pub struct $name;

            impl Permission for $name {
                const NAME: &'static str = $text;
            }
        )*
    };
}

permissions! {
    /// Chat, completions, predict, tokens.
    Chat = "chat";
    /// Embeddings.
    Embeddings = "embeddings";
    /// The list of models.
    ModelsRead = "models:read";
}
