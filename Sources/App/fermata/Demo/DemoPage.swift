import Files
import Harness

/// The page of `fermata demo --keep`. Its files and the client library are in the program; React is the machine's own
/// (Debian's node-react and node-react-dom), and the page shows the same without it.
enum DemoPage {
  private static let html = "text/html; charset=utf-8"
  private static let script = "text/javascript; charset=utf-8"
  private static let reactFolder = "/usr/share/nodejs"
  private static let reactLimit = 1 << 20

  /// The file at this path, if it is one of the page's.
  static func answer(to path: String) -> Script? {
    switch path {
    case "/": file(html, PackageResources.index_html)
    case "/demo/demo.js": file(script, PackageResources.demo_js)
    case "/demo/view.js": file(script, PackageResources.view_js)
    case "/demo/readers.js": file(script, PackageResources.readers_js)
    case "/demo/react.js": file(script, PackageResources.react_global_js)
    case "/demo/react.production.min.js", "/demo/react-dom.production.min.js": react(String(path.dropFirst(6)))
    case "/favicon.ico": Script.plain(status: 404, [])
    default: library(path).map { file(script, $0) }
    }
  }

  private static func library(_ path: String) -> [UInt8]? {
    let modules = [
      "account": PackageResources.account_js, "clock": PackageResources.clock_js,
      "format": PackageResources.format_js, "framing": PackageResources.framing_js,
      "index": PackageResources.index_js, "options": PackageResources.options_js, "page": PackageResources.page_js,
      "parser": PackageResources.parser_js, "react": PackageResources.react_js,
      "request": PackageResources.request_js, "result": PackageResources.result_js,
      "rules": PackageResources.rules_js, "session": PackageResources.session_js,
      "sorter": PackageResources.sorter_js, "store": PackageResources.store_js,
      "stream": PackageResources.stream_js, "eventsource": PackageResources.eventsource_js,
    ]
    guard path.hasPrefix("/fermata-client/"), path.hasSuffix(".js") else { return nil }
    return modules[String(path.dropFirst("/fermata-client/".count).dropLast(".js".count))]
  }

  /// `name` is one of two that the caller wrote, never a client.
  private static func react(_ name: String) -> Script {
    let package = name.hasPrefix("react-dom") ? "react-dom" : "react"
    guard let contents = try? readFile("\(reactFolder)/\(package)/umd/\(name)", limit: reactLimit) else {
      return .plain(status: 404, Array("React is not installed".utf8))
    }
    return file(script, contents.bytes)
  }

  private static func file(_ type: String, _ bytes: [UInt8]) -> Script {
    let fields = [Script.Field("Content-Type", type), Script.Field("Cache-Control", "no-store")]
    return Script([.head(Script.Head(framing: .length(nil), fields: fields)), .body(bytes), .end])
  }
}
