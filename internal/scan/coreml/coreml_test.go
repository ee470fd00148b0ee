package coreml

import (
	"testing"

	"assay/internal/scan/corpus"
	"assay/internal/scan/scantest"
)

func TestCases(t *testing.T) { scantest.Cases(t, corpus.CoreML(), Scanner{}, Weights{}) }

func FuzzScan(f *testing.F) { scantest.Fuzz(f, corpus.Seeds(corpus.CoreML()), Scanner{}, Weights{}) }
