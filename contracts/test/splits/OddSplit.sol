// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @notice A fee split that answers in any way: by shares, and in every way that a split can be broken or hostile. It is no
/// `IFeeSplit` to the compiler, so that it may try what a static call forbids.
contract OddSplit {
    enum Way {
        Shares, // by `shares`, in hundredths, the rest to the operator
        Raw, // the bytes in `raw`
        Refuse, // a revert without a word
        RefuseRight, // a revert whose data is a right answer
        Huge, // a right answer, and 200 KB behind it
        Burn, // all gas
        Write, // a right answer, if it could write to its storage
        Slow, // a right answer, after nearly all the gas there is
        Len
    }

    address public constant treasury = address(0x7EA5);
    address public constant burner = address(0xB04E);

    Way public way;
    uint256[2] private shares = [10, 30];
    bytes private raw;
    uint256 private written;

    function set(Way way_) external {
        way = way_;
    }

    function setShares(uint256 toTreasury, uint256 toBurner) external {
        (way, shares) = (Way.Shares, [toTreasury, toBurner]);
    }

    function setRaw(bytes calldata raw_) external {
        (way, raw) = (Way.Raw, raw_);
    }

    function split(address, address, uint256 amount) external returns (uint256, uint256, uint256) {
        uint256 start = gasleft();
        Way w = way;
        if (w == Way.Raw) _answer(raw);
        if (w == Way.Refuse) revert();
        if (w == Way.RefuseRight) _refuse(abi.encode(amount, 0, 0));
        if (w == Way.Huge) _answerLong(amount);
        while (w == Way.Burn) {}
        if (w == Way.Write) {
            ++written;
            return (amount, 0, 0);
        }
        while (w == Way.Slow && start - gasleft() < 285_000) {}
        (uint256 toTreasury, uint256 toBurner) = (amount * shares[0] / 100, amount * shares[1] / 100);
        return (amount - toTreasury - toBurner, toTreasury, toBurner);
    }

    function _answer(bytes memory data) private pure {
        assembly {
            return(add(data, 0x20), mload(data))
        }
    }

    function _refuse(bytes memory data) private pure {
        assembly {
            revert(add(data, 0x20), mload(data))
        }
    }

    /// @dev About as much as a split can pay for out of its gas; whoever copies it pays as much again.
    function _answerLong(uint256 first) private pure {
        assembly {
            mstore(0x00, first)
            mstore(0x20, 0)
            mstore(0x40, 0)
            return(0x00, 200000)
        }
    }
}
