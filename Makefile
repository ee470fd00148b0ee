# Everything a fresh machine with Go, gcc and npm needs. `make demo` and `make test`
# set up what they need themselves; nothing is installed outside this folder.

.PHONY: setup build scan-static demo examples test test-race lint vet fuzz bench generate clean

runtime := node_modules/.package-lock.json

# The ONNX Runtime library, from the npm package that ships it. `npm ci` verifies the
# digests of package-lock.json; its install scripts, which would download more, stay off.
setup: $(runtime)

$(runtime): package.json package-lock.json
	npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

build: $(runtime)
	go build -o bin/assay ./cmd/assay

# Only assay scan, as a static binary that needs neither gcc nor ONNX Runtime.
scan-static:
	CGO_ENABLED=0 go build -trimpath -o bin/assay-scan ./cmd/assay-scan

# Trains and checks a model, then assesses two real systems: of each, one solution is adequate
# and one is not. That ends with 1, and so would 2; other ends are failures.
demo: build
	bin/assay train --data examples/diagnosis/breast_cancer.csv --label diagnosis --out bin/diagnosis.onnx
	bin/assay gradient --model bin/diagnosis.onnx --data examples/diagnosis/breast_cancer.csv
	bin/assay assess examples/diagnosis --key bin/demo-key.pem || [ $$? -le 2 ]
	bin/assay assess examples/digits --key bin/demo-key.pem || [ $$? -le 2 ]

# Makes the examples' models and test data again, as their SOURCE.md says. They are in the
# repository, so nothing else needs this.
diagnosis := --data examples/diagnosis/breast_cancer.csv --schema examples/diagnosis/schema.yaml --test 0.4 --validation 0 --widths 32,16 --epochs 500 --lr 0.003
digits := --data examples/digits/digits.csv.gz --schema examples/digits/schema.yaml --test 0.4 --validation 0 --arch cnn --widths 16,32,32 --epochs 60 --lr 0.003

examples: build
	bin/assay train $(diagnosis) --test-out examples/diagnosis/test.csv --out examples/diagnosis/models/undefended.onnx
	bin/assay harden pgd $(diagnosis) --unit range --eps 0.06 --out examples/diagnosis/models/hardened.onnx
	bin/assay train $(digits) --test-out examples/digits/test.csv --out examples/digits/models/undefended.onnx
	bin/assay harden pgd $(digits) --eps 2 --out examples/digits/models/hardened.onnx
	go run ./examples/internal/quantise examples/digits/models/undefended.onnx examples/digits/models/masked.onnx 4
	openssl genpkey -algorithm ed25519 -out bin/signer.pem && openssl pkey -in bin/signer.pem -pubout -out examples/digits/signer.pub.pem
	bin/assay sign examples/digits/models/hardened.onnx examples/digits/test.csv --key bin/signer.pem

test: $(runtime)
	go test -timeout 20m ./...

# Race detection where it can find something within reason: packages without cgo.
test-race: $(runtime)
	go test -race -short ./onnx ./onnx/infer ./internal/dataset ./internal/train/... ./internal/criteria ./internal/evidence ./internal/provenance ./internal/assess ./internal/scan

vet:
	go vet ./...

lint:
	go tool -modfile=.ci/lint/go.mod golangci-lint run

# Each parser's fuzz target for a while: make fuzz FUZZTIME=5m
FUZZTIME ?= 20s
fuzz:
	./.ci/fuzz $(FUZZTIME)

# Measured figures, one line each: bench NAME VALUE max|min LIMIT
bench: $(runtime)
	go build -o bin/bench ./internal/bench
	bin/bench

generate:
	go generate ./...

clean:
	rm -rf bin node_modules
