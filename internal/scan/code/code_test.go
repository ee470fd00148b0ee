package code

import (
	"testing"

	"assay/internal/scan/corpus"
	"assay/internal/scan/scantest"
)

func TestCases(t *testing.T) { scantest.Cases(t, corpus.Code(), Scanners()...) }

func FuzzScan(f *testing.F) { scantest.Fuzz(f, corpus.Seeds(corpus.Code()), Scanners()...) }
