// Package sshsig makes and checks SSH signatures (SSHSIG) with ed25519 keys, so that ssh-keygen -Y verify can check
// what gwdr signed.
package sshsig

// Signer signs with one ed25519 key.
type Signer struct{}

// Trusted is a set of public keys, as in an allowed_signers file.
type Trusted struct{}
