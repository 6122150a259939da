import Loop

/// How much is read at a time on connections whose bytes go to one receiver, who changes it as it has room. Lives on one
/// loop.
package final class ReadAllowance {
  /// Bytes that one read may bring, 1 to `InputBuffer.capacity`.
  package var bytes = InputBuffer.capacity

  package init() {}
}
