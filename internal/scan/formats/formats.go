// Package formats lists the scanners of all formats. It builds without cgo.
package formats

import (
	"slices"

	"assay/internal/scan"
	"assay/internal/scan/code"
	"assay/internal/scan/compressed"
	"assay/internal/scan/coreml"
	"assay/internal/scan/executable"
	"assay/internal/scan/gguf"
	"assay/internal/scan/hdf5"
	"assay/internal/scan/jsontext"
	"assay/internal/scan/numpy"
	"assay/internal/scan/onnx"
	"assay/internal/scan/paddle"
	"assay/internal/scan/pickle"
	"assay/internal/scan/rdata"
	"assay/internal/scan/safetensors"
	"assay/internal/scan/sevenzip"
	"assay/internal/scan/tar"
	"assay/internal/scan/tensorflow"
	"assay/internal/scan/tflite"
	"assay/internal/scan/trees"
	"assay/internal/scan/xml"
	"assay/internal/scan/yaml"
	"assay/internal/scan/zip"
)

// All gives all scanners, in the order in which several that match the same content run.
func All() []scan.Scanner {
	return slices.Concat([]scan.Scanner{
		pickle.Scanner{},
		pickle.Embedded{},
		zip.Scanner{}, tar.Scanner{}, sevenzip.Scanner{},
		safetensors.Scanner{}, gguf.Scanner{}, numpy.Scanner{},
		onnx.Scanner{}, tensorflow.Scanner{}, tensorflow.Keras{}, tensorflow.Fingerprint{}, tensorflow.Checkpoint{}, tflite.Scanner{}, coreml.Scanner{}, coreml.Weights{}, paddle.Scanner{}, paddle.Parameters{},
		trees.UBJSON{}, trees.LightGBM{}, trees.CatBoost{}, trees.XGBoost{}, xml.Scanner{},
		hdf5.Scanner{}, rdata.Scanner{}, jsontext.Scanner{}, yaml.Scanner{},
		executable.Scanner{},
	}, compressed.Scanners(), code.Scanners())
}
