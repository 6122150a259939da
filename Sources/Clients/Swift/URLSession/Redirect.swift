import FermataClientCore
import Foundation

/// Where a response sends a request (RFC 9110, 15.4).
enum Redirect {
  static let limit = 20

  private static let credentials: Set = ["authorization", "cookie", "proxy-authorization"]

  /// The next request; nil if the response is no redirect that can be followed.
  static func request(after request: TransportRequest, _ response: any TransportResponse) -> TransportRequest? {
    guard [301, 302, 303, 307, 308].contains(response.status),
      let location = response.headers.first(where: { $0.name.lowercased() == "location" })?.value,
      let from = URL(string: request.url), let to = URL(string: location, relativeTo: from)?.absoluteURL,
      ["http", "https"].contains(to.scheme?.lowercased())
    else { return nil }
    var next = request
    next.url = to.absoluteString
    let keepsMethod = response.status >= 307 || ["GET", "HEAD"].contains(request.method)
    if !keepsMethod, response.status == 303 || request.method == "POST" {
      next.method = "GET"
      next.body = nil
      next.headers.removeAll { $0.name.lowercased().hasPrefix("content-") }
    }
    // What is meant for one server is not told to another one.
    if origin(of: to) != origin(of: from) { next.headers.removeAll { credentials.contains($0.name.lowercased()) } }
    return next
  }

  private static func origin(of url: URL) -> [String] {
    let scheme = url.scheme?.lowercased() ?? ""
    return [scheme, url.host?.lowercased() ?? "", "\(url.port ?? (scheme == "https" ? 443 : 80))"]
  }
}
