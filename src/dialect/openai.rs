//! temp
pub mod error {
    pub fn render(m:&str,t:&str,c:Option<&str>,p:Option<&str>)->Vec<u8>{ serde_json::json!({"error":{"message":m,"type":t,"code":c,"param":p}}).to_string().into_bytes() }
    pub fn event(m:&str,t:&str,c:Option<&str>)->Vec<u8>{ format!("data: {}\n\n", serde_json::json!({"error":{"message":m,"type":t,"code":c,"param":null}})).into_bytes() }
}
pub mod models {
    pub fn list<'a>(n: impl IntoIterator<Item=&'a str>)->Vec<u8>{ let d:Vec<_>=n.into_iter().map(|n|serde_json::json!({"id":n,"object":"model","created":0,"owned_by":"tollgate"})).collect(); serde_json::json!({"object":"list","data":d}).to_string().into_bytes() }
    pub fn one(n:&str)->Vec<u8>{ serde_json::json!({"id":n,"object":"model","created":0,"owned_by":"tollgate"}).to_string().into_bytes() }
}
