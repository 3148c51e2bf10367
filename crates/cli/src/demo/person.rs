//! The person of the story: reads the real pages, fills in their forms, presses their buttons.

use super::http::{Answer, Https};
use url::Url;

/// Forms that a person is willing to fill in before giving up.
const PAGES: usize = 12;

/// Who signs in, and the password they will have afterwards.
pub(crate) struct Person<'a> {
    pub https: &'a Https,
    pub user: &'a str,
    pub password: &'a str,
    pub new_password: &'a str,
}

impl Person<'_> {
    /// Opens the address a client gave, signs in, agrees, and returns the address that the client is waiting at.
    pub(crate) async fn agree(&self, start: &str, redirect: &str) -> Result<Url, String> {
        let mut here = Url::parse(start).map_err(|e| e.to_string())?;
        let mut page = self.https.get(here.as_str()).await?;
        for _ in 0..PAGES {
            if let Some(location) = page.location() {
                here = here.join(&location).map_err(|e| e.to_string())?;
                if here.as_str().starts_with(redirect) {
                    return Ok(here);
                }
                page = self.https.get(here.as_str()).await?;
                continue;
            }
            let form = self.fill(&page)?;
            here = here.join(&form.action).map_err(|e| e.to_string())?;
            page = self.https.post_form(here.as_str(), &form.fields).await?;
        }
        Err(String::from("the pages did not come to an end"))
    }

    fn fill(&self, page: &Answer) -> Result<Form, String> {
        let html = page.text();
        let mut form = Form::first_post(&html)
            .ok_or_else(|| format!("no form on a page with status {}: {}", page.status, first_line(&html)))?;
        for (name, value) in &mut form.fields {
            match name.as_str() {
                "username" | "user" => self.user.clone_into(value),
                "password" | "current_password" => self.password.clone_into(value),
                "new_password" | "repeat_password" | "confirm_password" => {
                    self.new_password.clone_into(value)
                }
                _ => {}
            }
        }
        if let Some((name, value)) = form.button("allow") {
            form.fields.push((name, value));
        }
        Ok(form)
    }
}

fn first_line(html: &str) -> String {
    html.chars().take(300).collect()
}

/// A form as a browser would submit it.
struct Form {
    action: String,
    fields: Vec<(String, String)>,
    buttons: Vec<(String, String)>,
}

impl Form {
    /// The first form that a person without script sees, is sent by POST, and is not the one that signs out.
    fn first_post(html: &str) -> Option<Self> {
        html.split("<form").skip(1).find_map(|rest| {
            let (open, inside) = rest.split_once('>')?;
            let inside = inside.split("</form>").next()?;
            let action = attribute(open, "action").unwrap_or_default();
            let post = attribute(open, "method").is_some_and(|m| m.eq_ignore_ascii_case("post"));
            let hidden = open.split_ascii_whitespace().any(|word| word == "hidden");
            (post && !hidden && !action.contains("logout")).then(|| Self {
                action,
                fields: elements(inside, "<input").filter_map(field).collect(),
                buttons: elements(inside, "<button").filter_map(field).collect(),
            })
        })
    }
    fn button(&self, value: &str) -> Option<(String, String)> {
        self.buttons.iter().find(|(_, v)| v == value).cloned()
    }
}

fn elements<'a>(html: &'a str, tag: &'a str) -> impl Iterator<Item = &'a str> {
    html.split(tag).skip(1).filter_map(|rest| rest.split('>').next())
}

fn field(element: &str) -> Option<(String, String)> {
    Some((attribute(element, "name")?, attribute(element, "value").unwrap_or_default()))
}

/// The value of an attribute, entities undone.
fn attribute(element: &str, name: &str) -> Option<String> {
    let (_, rest) =
        element.split_once(&format!(" {name}=\"")).or_else(|| element.split_once(&format!("\n{name}=\"")))?;
    let value = rest.split('"').next()?;
    let undone = [
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&#38;", "&"),
        ("&amp;", "&"),
    ];
    Some(undone.iter().fold(value.to_owned(), |text, (entity, plain)| text.replace(entity, plain)))
}
