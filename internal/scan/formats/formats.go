// Package formats lists the scanners of all formats. It builds without cgo.
package formats

import (
	"slices"

	"assay/internal/scan"
	"assay/internal/scan/code"
	"assay/internal/scan/compressed"
	"assay/internal/scan/gguf"
	"assay/internal/scan/hdf5"
	"assay/internal/scan/jsontext"
	"assay/internal/scan/numpy"
	"assay/internal/scan/onnx"
	"assay/internal/scan/pickle"
	"assay/internal/scan/safetensors"
	"assay/internal/scan/tar"
	"assay/internal/scan/tensorflow"
	"assay/internal/scan/tflite"
	"assay/internal/scan/trees"
	"assay/internal/scan/xml"
	"assay/internal/scan/zip"
)

// All gives all scanners, in the order in which several that match the same content run.
func All() []scan.Scanner {
	return slices.Concat([]scan.Scanner{
		pickle.Scanner{},
		pickle.Embedded{},
		zip.Scanner{}, tar.Scanner{},
		safetensors.Scanner{}, gguf.Scanner{}, numpy.Scanner{},
		onnx.Scanner{}, tensorflow.Scanner{}, tflite.Scanner{},
		trees.UBJSON{}, trees.LightGBM{}, xml.Scanner{},
		hdf5.Scanner{}, jsontext.Scanner{},
	}, compressed.Scanners(), code.Scanners())
}
