// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title Symbols
/// @notice The part of halmos' cheat codes that the proofs use: values that stand for every value.
interface Symbols {
    function createCalldata(string calldata contractName) external view returns (bytes memory);
    function createAddress(string calldata name) external view returns (address);
    function createUint(uint256 bits, string calldata name) external view returns (uint256);
    function createBytes32(string calldata name) external view returns (bytes32);
}

/// @dev Halmos' cheat code address.
Symbols constant symbols = Symbols(0xF3993A62377BCd56AE39D773740A5390411E8BC9);

/// @notice A contract wallet that answers anything (C10).
contract AnyWallet {
    function isValidSignature(bytes32, bytes calldata) external view returns (bytes32) {
        return symbols.createBytes32("answer");
    }
}

/// @notice A token that pays whatever it is told to, notes it, and says anything of its balances.
contract AnyToken {
    mapping(address to => uint256) public paid;
    uint256 public paidInAll;

    function transfer(address to, uint256 amount) external returns (bool) {
        paid[to] += amount;
        paidInAll += amount;
        return true;
    }

    function transferFrom(address, address, uint256) external pure returns (bool) {
        return true;
    }

    function balanceOf(address) external view returns (uint256) {
        return symbols.createUint(256, "balance");
    }
}
