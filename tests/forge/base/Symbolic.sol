// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Test} from "./Test.sol";

/// @title The part of Halmos's cheat codes that these suites use
interface Svm {
    function createUint256(string calldata name) external pure returns (uint256);
    function createBytes32(string calldata name) external pure returns (bytes32);
    function createAddress(string calldata name) external pure returns (address);
    function createBool(string calldata name) external pure returns (bool);
    function createCalldata(string calldata contractName, bool includeViews)
        external
        pure
        returns (bytes memory);
    function createCalldata(string calldata contractName) external pure returns (bytes memory);
}

/// @title What every property stands on
/// @dev A property (`check_…`) holds for all values of its arguments, not for many of them. Here
/// contracts are made by `new`: Halmos knows them from the compiler's output.
abstract contract Symbolic is Test {
    Svm internal constant svm = Svm(address(uint160(uint256(keccak256("svm cheat code")))));

    /// @dev A call that may fail, by somebody.
    function tryCall(address caller, address target, bytes memory data) internal returns (bool ok) {
        vm.prank(caller);
        (ok,) = target.call(data);
    }
}

/// @title A verifier that has signed whatever it is asked about
/// @dev Takes signatures out of the properties: what a forged one can do is not asked here.
contract WillingVerifier {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        return 0x1626ba7e;
    }
}
