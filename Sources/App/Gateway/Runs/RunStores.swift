package import Configuration
package import Runs

/// One loop's way to the stores of runs: the one of the configuration in force, and those that earlier runs began with.
package protocol RunStores: AnyObject {
  /// Made when it is first asked for; `nil` when the configuration names none.
  var store: (any RunStore)? { get }
  /// Whether a run or a request needs a store. Set by who has the runs.
  var isUsed: ((any RunStore) -> Bool)? { get set }
  /// Connections that they hold.
  var connectionCount: Int { get }
  /// Takes a new configuration. Runs keep the store that they began with.
  func adopt(_ settings: RedisRunSettings?)
  /// Brings what the stores have counted into the metrics.
  func count()
  func close()
}
