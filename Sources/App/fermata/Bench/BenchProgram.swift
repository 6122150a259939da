/// The program that measures, which is also the backend, the load and the gateway.
enum BenchProgram {
  /// Whatever it is called.
  static let path = "/proc/self/exe"
}
