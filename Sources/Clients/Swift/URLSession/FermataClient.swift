@_exported public import FermataClientCore
public import Foundation

#if canImport(FoundationNetworking)
  public import FoundationNetworking
#endif

/// Opens streams. A cheap value; streams share the connections of its transport.
public struct FermataClient: Sendable {
  /// The version of this library.
  public static let version = "1.0.0"

  private let transport: any StreamTransport
  private let options: StreamOptions

  /// - Parameter options: for streams that are opened without options of their own.
  public init(options: StreamOptions = StreamOptions(), transport: any StreamTransport = URLSessionTransport()) {
    self.options = options
    self.transport = transport
  }

  /// A stream of this request. `httpBodyStream` is not supported: a body must be there to be sent again.
  public func stream(_ request: URLRequest, _ options: StreamOptions? = nil) -> FermataStream {
    let fields = (request.allHTTPHeaderFields ?? [:]).sorted { $0.key < $1.key }
    return FermataStream(
      request.httpMethod ?? "GET", request.url?.absoluteString ?? "",
      headers: fields.map { (name: $0.key, value: $0.value) }, body: request.httpBody.map { Array($0) },
      options: options ?? self.options, over: transport)
  }

  /// A GET stream, which continues behind `lastEventID` if there is one.
  public func stream(_ url: URL, lastEventID: String = "") -> FermataStream {
    var options = options
    options.lastEventID = lastEventID
    return stream(URLRequest(url: url), options)
  }
}
