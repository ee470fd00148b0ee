//go:build !unix

package ort

// libraryVersion leaves it to the binding to refuse what it cannot load.
func libraryVersion(string) (string, error) { return "", nil }
