/// A connection of a load.
protocol LoadCarrier: AnyObject {
  func close()
}
