package signing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// What the envelope and the statement within it are: DSSE and in-toto Statement v1.
const (
	PayloadType   = "application/vnd.in-toto+json"
	StatementType = "https://in-toto.io/Statement/v1"
)

// Statement is an in-toto statement: that something holds of files.
type Statement[P any] struct {
	Type          string     `json:"_type"`
	Subject       []Resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     P          `json:"predicate"`
}

// Resource names a file by its digest.
type Resource struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// Envelope is a signed statement, as DSSE has it.
type Envelope = dsse.Envelope

// Sign puts a statement of a predicate's type into an envelope.
func Sign[P any](key *Key, subject []Resource, predicateType string, predicate P) (*Envelope, error) {
	text, err := json.Marshal(Statement[P]{StatementType, subject, predicateType, predicate})
	if err != nil {
		return nil, err
	}
	s, err := dsse.NewEnvelopeSigner(key)
	if err != nil {
		return nil, err
	}
	return s.SignPayload(context.Background(), PayloadType, text)
}

// Open gives the payload of an envelope that the key signed.
func Open(e *Envelope, key PublicKey) ([]byte, error) {
	if e.PayloadType != PayloadType {
		return nil, fmt.Errorf("it holds %q, not an in-toto statement", e.PayloadType)
	}
	check, err := dsse.NewEnvelopeVerifier(key)
	if err != nil {
		return nil, err
	}
	_, payload, err := check.VerifyAndDecode(context.Background(), e)
	if err != nil {
		return nil, errors.New("the signature is not that key's")
	}
	return payload, nil
}
