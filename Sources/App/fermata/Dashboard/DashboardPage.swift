import Flags
import Operations

/// The page at `/dashboard` of the operators' listener, one file: its styles, and a script that has the client library
/// and the page's own code in it. The policy names both by their hashes, so nothing else runs or is loaded.
enum DashboardPage {
  static let page = make()

  /// The client library's modules, each after those that it imports. Their names at the top level differ, so that all of
  /// them fit into one script.
  private static let modules = [
    PackageResources.rules_js, PackageResources.clock_js, PackageResources.format_js, PackageResources.result_js,
    PackageResources.options_js, PackageResources.request_js, PackageResources.account_js,
    PackageResources.session_js, PackageResources.stream_js, PackageResources.page_js, PackageResources.index_js,
    PackageResources.dashboard_js,
  ]

  private static func make() -> WebPage {
    let script = modules.map(joined).joined()
    let style = String(decoding: PackageResources.dashboard_css, as: UTF8.self)
    var html = String(decoding: PackageResources.dashboard_html, as: UTF8.self)
    html = replace("/*STYLE*/", with: style, in: html)
    html = replace("/*SCRIPT*/", with: script, in: html)
    let policy = """
      default-src 'none'; script-src '\(hash(script))'; style-src '\(hash(style))'; connect-src 'self'; \
      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'
      """
    return WebPage(html: Array(html.utf8), policy: policy)
  }

  private static func replace(_ mark: String, with text: String, in page: String) -> String {
    page.split(separator: mark, maxSplits: 1, omittingEmptySubsequences: false).joined(separator: text)
  }

  /// A module without what only separate files need, and without its comments and indentation: no text in it may go on
  /// in the next line.
  private static func joined(_ module: [UInt8]) -> String {
    var isComment = false
    var out = ""
    for line in String(decoding: module, as: UTF8.self).split(separator: "\n") {
      let text = line.drop { $0 == " " }
      let begins = text.hasPrefix("/*")
      if isComment || begins {
        let ends = text.hasSuffix("*/")
        // A type in front of an expression is code's.
        if isComment || ends || !text.contains("*/") {
          isComment = !ends
          continue
        }
      }
      if text.hasPrefix("//") || line.hasPrefix("import ") || line.hasPrefix("export {") { continue }
      out += line.hasPrefix("export ") ? line.dropFirst("export ".count) : text
      out += "\n"
    }
    return out
  }

  private static func hash(_ text: String) -> String { "sha256-" + base64(SHA256.digest(Array(text.utf8))) }

  /// RFC 4648, 4.
  private static func base64(_ bytes: [UInt8]) -> String {
    let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
    var text = ""
    for start in stride(from: 0, to: bytes.count, by: 3) {
      let group = bytes[start..<min(start + 3, bytes.count)]
      let padded = Array(group) + [UInt8](repeating: 0, count: 3 - group.count)
      let word = padded.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
      for place in 0..<4 {
        text.append(place > group.count ? "=" : digits[Int(word >> UInt32(18 - 6 * place) & 63)])
      }
    }
    return text
  }
}
