package jsontext

import (
	"testing"

	"assay/internal/scan/corpus"
	"assay/internal/scan/scantest"
)

func TestCases(t *testing.T) { scantest.Cases(t, corpus.JSON(), Scanner{}) }

func TestSkops(t *testing.T) { scantest.Cases(t, corpus.Skops(), Scanner{}) }

func FuzzScan(f *testing.F) {
	scantest.Fuzz(f, corpus.Seeds(append(corpus.JSON(), corpus.Skops()...)), Scanner{})
}
