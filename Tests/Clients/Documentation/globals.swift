// What the examples of the documentation take for granted.
import Foundation

func show(_ what: Any) {}
func clear() {}
func handle(_ type: String, _ data: String) {}
