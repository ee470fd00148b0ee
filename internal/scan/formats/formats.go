// Package formats lists the scanners of all formats.
package formats

import (
	"slices"

	"assay/internal/scan"
	"assay/internal/scan/code"
	"assay/internal/scan/compressed"
	"assay/internal/scan/gguf"
	"assay/internal/scan/jsontext"
	"assay/internal/scan/numpy"
	"assay/internal/scan/onnx"
	"assay/internal/scan/safetensors"
	"assay/internal/scan/tar"
	"assay/internal/scan/tensorflow"
	"assay/internal/scan/zip"
)

// All gives the scanners of all formats.
func All() []scan.Scanner {
	return slices.Concat([]scan.Scanner{
		zip.Scanner{}, tar.Scanner{},
		safetensors.Scanner{}, gguf.Scanner{}, numpy.Scanner{},
		onnx.Scanner{}, tensorflow.Scanner{},
		jsontext.Scanner{},
	}, compressed.Scanners(), code.Scanners())
}
