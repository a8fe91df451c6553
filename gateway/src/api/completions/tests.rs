//! Text completions through the whole surface.
