// Command cmd serves ONNX models on the protocols that package remote speaks, for tests:
//
//	go run ./internal/model/remote/remotetest/cmd digits=digits.onnx
package main

import (
	"os"

	"assay/internal/model/remote/remotetest"
)

func main() { os.Exit(remotetest.Main()) }
