/// A page that the operators' listener serves, whole: it asks for no other file.
package struct WebPage: Sendable {
  package let html: [UInt8]
  /// The value of `Content-Security-Policy`, which lets nothing but the page's own script and styles work.
  package let policy: String

  package init(html: [UInt8], policy: String) {
    self.html = html
    self.policy = policy
  }
}
