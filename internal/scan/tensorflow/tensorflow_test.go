package tensorflow

import (
	"testing"

	"assay/internal/scan/corpus"
	"assay/internal/scan/scantest"
)

func TestCases(t *testing.T) { scantest.Cases(t, corpus.TensorFlow(), Scanner{}) }

func FuzzScan(f *testing.F) { scantest.Fuzz(f, corpus.Seeds(corpus.TensorFlow()), Scanner{}) }

func TestSavedModel(t *testing.T) {
	scantest.Cases(t, corpus.SavedModel(), Keras{}, Fingerprint{}, Checkpoint{})
}

func FuzzSavedModel(f *testing.F) {
	scantest.Fuzz(f, corpus.Seeds(corpus.SavedModel()), Keras{}, Fingerprint{}, Checkpoint{})
}
