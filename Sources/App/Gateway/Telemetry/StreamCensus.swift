import Bytes
import Configuration
import FlagControl
import HTTP
import Loop
package import Streams
import Telemetry

/// The census of one loop. It is handed over and begins anew whenever somebody asks.
package final class StreamCensus {
  private var counted = Census()
  private let seed: UInt64
  /// Products of recent clients by a hash of their `User-Agent`: most of them send one of a few.
  private var products: [UInt64: (agent: [UInt8], product: ClientProduct)] = [:]
  private var productSettings: Settings?
  private static let productLimit = 256

  /// - Parameter seed: of the hashes of identities; the same on all loops.
  init(seed: UInt64) { self.seed = seed }

  func visitor(of request: borrowing RequestHead, _ settings: Settings) -> CensusVisitor {
    let identity = ClientIdentity.hash(of: request, settings.configuration.identity, seed: seed)
    return CensusVisitor(product: product(of: request, settings), identity: identity)
  }

  private func product(of request: borrowing RequestHead, _ settings: Settings) -> ClientProduct {
    if settings !== productSettings {
      products = [:]
      productSettings = settings
    }
    let fields = request.fields
    let detector = settings.configuration.capability.detector
    guard detector.readsUserAgentAlone else { return detector.product { fields.string(named: $0) } }
    guard let index = fields.firstIndex(of: .userAgent) else { return .unknown }
    guard fields.value(at: index).count <= 256 else { return detector.product { fields.string(named: $0) } }
    var hash = IdentityHash(seed: seed)
    hash.combine(fields.value(at: index))
    if let known = products[hash.value], fields.value(at: index).equals(known.agent.span) { return known.product }
    let product = detector.product { fields.string(named: $0) }
    if products.count == Self.productLimit { products = [:] }
    products[hash.value] = ([UInt8](copying: fields.value(at: index)), product)
    return product
  }

  func closed(_ stream: ClientDelivery, isCompleted: Bool, leftAtCompletion: Bool, loop: EventLoop) {
    let end = CensusEnd(
      identity: stream.visitor.identity, isCompleted: isCompleted, leftAtCompletion: leftAtCompletion)
    counted.count(key(of: stream), end, at: loop.wallTime())
  }

  /// - Parameter events: that came after the client had left.
  func tailEnded(_ stream: ClientDelivery, events: Int, loop: EventLoop) {
    counted.countTail(key(of: stream), events: events, at: loop.wallTime())
  }

  private func key(of stream: ClientDelivery) -> CensusKey {
    CensusKey(
      product: stream.visitor.product, route: stream.route, capability: stream.capability, mode: stream.mode)
  }

  package func take() -> Census {
    defer { counted = Census() }
    return counted
  }
}
